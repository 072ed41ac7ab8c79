/*
 * The sentences about a lesson's materials in English.
 */
import type { MaterialsWords } from './materials_vi'

export const materialsEn: MaterialsWords = {
  title: 'Materials',
  close: 'Close',
  back: 'Back to the list',
  none: 'No files yet.',
  kinds: {
    picture: 'Picture',
    pdf: 'PDF',
    film: 'Film',
    sound: 'Sound',
    text: 'Text',
    document: 'Document',
  },
  loading: (percent) => `Opening… ${percent} %`,
  onItsWay: 'This file is on its way to your school',
  onItsWayText: 'It shows by itself when it is here. Nothing needs to be pressed.',
  waiting: 'The network broke off',
  waitingText: 'The page tries again by itself. Nothing needs to be pressed.',
  notShown: 'This device cannot show such a file in the page. Download it and open it.',
  broken: 'This device cannot show this file. Try to download it.',
  download: 'Download',
  listLost: 'The list has just changed. Close the materials and open them again.',
  teach: {
    text: 'Slides, pictures, worksheets: what you send before the lesson opens at once in class, on a weak network too.',
    over: 'What is sent to the end is in the library, with the recording.',
    others: (count) =>
      `${count} file${count === 1 ? '' : 's'} of another lesson still being sent. It is better to wait before you close the page.`,
    add: 'Add files',
    drop: 'Or drop files here.',
    kinds: 'PDF, pictures, MP4 films, sound, Word, PowerPoint and Excel files.',
    insecure: 'To add files, open this page with the link that begins with https://.',
    slow: (minutes) =>
      `A school with a slow link has this after about ${minutes} minute${minutes === 1 ? '' : 's'}.`,
    slowHours: (hours) =>
      `A school with a slow link has this after about ${hours} hours. Send it the day before.`,
    total: (count, size) => `${count} file${count === 1 ? '' : 's'}, ${size}.`,
    reading: 'Reading the file…',
    queued: 'Waiting for its turn',
    sending: (percent) => `Sending ${percent} %`,
    sendingOf: (name) => `Sending ${name}`,
    storing: 'Sent, being stored…',
    waiting: 'The network broke off; the page sends it again by itself.',
    resting: 'Not sent while you teach; it goes on by itself after the lesson.',
    added: (name) => `${name} was added.`,
    same: (name) => `${name} is in the list already.`,
    removed: (name) => `${name} was removed.`,
    remove: 'Remove',
    removeOf: (name) => `Remove ${name}`,
    removeAsk: (name) => `Remove “${name}” from the lesson?`,
    removeYes: 'Remove it',
    removeNo: 'Keep it',
    notRemoved: (name) => `${name} could not be removed.`,
    removeAway: 'The network broke off. Press Remove again when it is back.',
    stop: 'Do not send it',
    stopOf: (name) => `Do not send ${name}`,
    seen: 'All right',
    seenOf: (name) => `All right: ${name}`,
    again: 'Send again',
    againOf: (name) => `Send ${name} again`,
    tooLarge: (size) =>
      `A file may have ${size} at most. Save it smaller, or split it into several files.`,
    unreadable: 'This file cannot be read',
    unreadableFix: 'It may have been renamed, deleted or opened meanwhile. Choose it again.',
    unsent: (names) => `Not sent to the end last time: ${names}. Please add again.`,
    wait: (count) =>
      `${count} file${count === 1 ? ' is' : 's are'} still being sent. It is better to wait before you start.`,
    listAway: 'The list of materials cannot be seen now. The page tries again by itself.',
  },
}
