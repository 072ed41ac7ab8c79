/*
 * The sentences of the status page in English, one for each of the Vietnamese ones.
 */
import type { StatusWords } from './status_vi'

const some = (count: number, what: string): string => `${count} ${what}${count === 1 ? '' : 's'}`

export const statusEn: StatusWords = {
  title: 'The school’s relay',
  titleOf: (name: string) => `Relay “${name}”`,
  onlyHere: 'On the school’s own network this page opens without a link.',
  noAnswer: 'The relay does not answer',
  noAnswerFix:
    'See whether the machine is on and its network cable is plugged in. The page asks again by itself; what stands below is from the last answer.',
  parent: 'Takes lessons from',
  parentUp: (host, since) => `${host}: connected since ${since}`,
  parentDown: (host, since) => `${host}: out of reach since ${since}`,
  centralUp: (host) => `Central school (${host}): connected`,
  centralDown: (host) => `Central school (${host}): out of reach`,
  rate: (kbps) => `${kbps} kbit/s`,
  roundTrip: (ms) => `round trip ${ms} ms`,
  loss: (percent) => `${percent} % lost`,
  linkUnknown: 'The link has not been measured yet.',
  live: 'Live now',
  liveText: (lessons, rooms) =>
    lessons === 0 ? 'No lesson.' : `${some(lessons, 'lesson')}, ${some(rooms, 'room')} watching.`,
  lessons: 'Lessons held',
  lessonsText: (held, bytes) => `${some(held, 'lesson')}, ${bytes}`,
  space: 'Space on the disk',
  free: (bytes) => `${bytes} free`,
  taken: 'Share that lessons have taken',
  takenText: (percent) => `${percent} % of the space for lessons is used`,
  sync: 'Fetching lessons',
  syncStates: {
    idle: 'All here, nothing left to fetch.',
    fetching: 'Under way.',
    waiting: 'Waiting for somebody who has the lessons.',
    live: 'Paused: a lesson is live.',
    window: 'Waiting for the hours in which it may.',
    budget: 'Today’s share is used up.',
    disk: 'Paused: the disk takes nothing.',
    import: 'Paused: lessons are copied from a USB drive.',
    starting: 'Starting.',
  },
  left: (lessons, bytes) => `${some(lessons, 'lesson')} left, ${bytes}`,
  finish: (at) => `Done at about ${at}`,
  power: 'Last power cut',
  powerNone: 'None on record.',
  powerCut: (at, back) =>
    at === null ? `Unknown when; running again ${back}` : `${at}; running again ${back}`,
  powerKilled: (at, back) =>
    `No power cut: the program was cut off${at === null ? '' : ` at ${at}`}, running again ${back}`,
  powerMonth: (cuts) => `${cuts} times within the last 30 days`,
  unknown: (name: string) => ({
    title: 'This machine reports something that this page does not know yet',
    text: `Tell the central school its name: “${name}”.`,
  }),
  advice: {
    'media-down': {
      title: 'The part that carries live lessons does not run',
      text: 'It starts again by itself within seconds. If not within a minute, shut the machine down properly and start it again.',
    },
    'recorder-down': {
      title: 'The lesson that is taught is not recorded',
      text: 'The recorder starts again by itself within seconds. If not within a minute, shut the machine down properly and start it again.',
    },
    'disk-full': {
      title: 'The disk is full or takes nothing',
      text: 'Nothing is recorded or fetched. Delete what does not belong to lessons from this disk, or use a larger one.',
    },
    'code-refused': {
      title: 'The enrolment code is no good',
      text: 'Call the central school for a new one, write it into the settings (code), and restart the machine.',
    },
    'taken-back': {
      title: 'The central school took this machine’s enrolment back',
      text: 'Lessons that are here can be watched. Call the central school for a new code, write it into the settings (code), and restart the machine.',
    },
    'wrong-parent': {
      title: 'The address of the parent is not right',
      text: 'The machine at that address cannot be this one’s parent. Ask the central school for the right address, write it into the settings (parents), and restart the machine.',
    },
    'not-enrolled': {
      title: 'This machine could not enrol with the central school yet',
      text: 'See whether it has internet. It goes on trying.',
    },
    'parent-away': {
      title: 'The relay above is out of reach',
      text: 'Lessons that are here can be watched. Look at the router’s lights and cables. The connection comes back by itself.',
    },
    'central-away': {
      title: 'The central school is out of reach',
      text: 'Lessons that run and recordings go on. Look at this machine’s network and at the central school’s server.',
    },
    'school-away': {
      title: 'The relay above does not reach the central school',
      text: 'Nothing to do here. If it lasts, tell the central school.',
    },
    'disk-low': {
      title: 'The disk is nearly full',
      text: 'Delete what does not belong to lessons from it.',
    },
    'disk-damaged': {
      title: 'The disk has damaged parts of lessons',
      text: 'They are fetched again, but the disk may fail soon: get a new disk or card ready.',
    },
    'materials-no-room': {
      title: 'No room for the learning materials of a lesson that is taught soon',
      text: 'Its class will lack files. Raise their share (materials_gb) or delete something from the disk, and restart the machine.',
    },
    'power-often': {
      title: 'This machine lost its power several times',
      text: 'Lessons survive that, disks do not for long. Get a small battery (UPS), and shut the machine down properly; do not pull the plug.',
    },
    'restarts-often': {
      title: 'The program had to start again several times',
      text: 'Tell the central school.',
    },
    'clock-wrong': {
      title: 'The machine’s clock shows a wrong date',
      text: 'With internet it sets itself. Else it needs a new clock battery.',
    },
    'source-rubbish': {
      title: 'Somebody sends damaged lessons',
      text: 'They are refused and fetched elsewhere. If it lasts, tell the central school.',
    },
    'power-cut': {
      title: 'The power was cut',
      text: 'Lessons were checked and mended. Nothing to do.',
    },
    'was-killed': {
      title: 'The program was cut off and runs again',
      text: 'Nothing to do.',
    },
    'quota-full': {
      title: 'The space for lessons is used up',
      text: 'Lessons that nobody watched for long make room, and can be fetched again. To keep more, raise the share for lessons (quota_gb) or use a larger disk.',
    },
    'all-well': { title: 'All is well', text: 'Nothing to do.' },
  },
}
