/*
 * The teaching page: look at yourself, press one button, teach.
 */
import '../ui/base.css'
import './teach.css'
import { expose } from '../debug'
import { savedLang, useMessages } from '../i18n'
import { followLinks, takeLink } from '../token'
import { useObservable } from '../ui/hooks'
import { NoLink, Notice, Shell, show } from '../ui/shell'
import { Icon } from '../ui/icons'
import { Ended } from './ended'
import { Live } from './live'
import { DeviceHelp, Fault, Prepare } from './prepare'
import { Studio } from './studio'

function TeachPage(props: { studio: Studio | null }) {
  const t = useMessages()
  const { studio } = props
  useObservable(studio)
  const links = <a href="/library">{t.library.title}</a>
  if (studio === null)
    return (
      <Shell title={t.teach.title} links={links}>
        <NoLink expired={false} />
      </Shell>
    )
  if (studio.events.state === 'refused' && studio.phase === 'preparing')
    return (
      <Shell title={t.teach.title} links={links}>
        <NoLink expired={true} />
      </Shell>
    )
  switch (studio.phase) {
    case 'preparing':
    case 'starting':
      return (
        <Shell title={t.teach.hello(studio.name)} links={links}>
          <Prepare studio={studio} />
        </Shell>
      )
    case 'live':
    case 'ending':
      return (
        <Shell title={studio.lesson?.title ?? t.teach.title} stay>
          <Live studio={studio} />
        </Shell>
      )
    case 'elsewhere':
      return (
        <Shell title={studio.lesson?.title ?? t.teach.title} links={links}>
          <Elsewhere studio={studio} />
        </Shell>
      )
    case 'ended':
      return (
        <Shell title={t.teach.ended} links={links}>
          <Ended studio={studio} />
        </Shell>
      )
  }
}

/** Another page of this teacher has the lesson; this one takes it back only by a press. */
function Elsewhere(props: { studio: Studio }) {
  const t = useMessages()
  const { studio } = props
  return (
    <div class="ended">
      <Fault studio={studio} />
      <Notice kind="warning" title={t.teach.elsewhere}>
        <p>{t.teach.elsewhereText}</p>
      </Notice>
      <DeviceHelp studio={studio} />
      <p>
        <button type="button" class="button primary" onClick={() => void studio.takeBack()}>
          <Icon name="camera" />
          {t.teach.teachHere}
        </button>
      </p>
    </div>
  )
}

const link = takeLink('teach')
const studio = link === null ? null : new Studio(link, savedLang())
expose(
  'teach',
  () => ({
    phase: studio?.phase ?? 'no-link',
    session: studio?.publisher?.state ?? 'idle',
    events: studio?.events.state ?? 'idle',
    devices: studio?.devices.state ?? 'idle',
    lesson: studio?.lesson?.id ?? null,
    sharing: studio?.sharing ?? false,
    muted: studio?.muted ?? false,
    generation: studio?.publisher?.generation ?? 0,
    recording: studio?.info?.recording.state ?? null,
    rooms: studio?.info?.rooms ?? null,
    uplink: studio?.uplink ?? null,
    weak: studio?.classes.weak.length ?? null,
  }),
  () => studio?.publisher?.peer ?? null,
)
for (const name of ['pointerdown', 'keydown']) addEventListener(name, () => studio?.meter.wake())
followLinks()
show(<TeachPage studio={studio} />, (t) => t.teach.title)
void studio?.open()
