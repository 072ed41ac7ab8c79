/*
 * Shown by the control plane in place of the room's page while no relay is there to serve it.
 *
 * Looks every few seconds whether there is one, and goes on by itself: the link in the address
 * stays, and is the room page's to take.
 */
import '../ui/base.css'
import { ANSWER_LIMIT_MS, timeLimit } from '../http'
import { useMessages } from '../i18n'
import { Notice, Shell, show } from '../ui/shell'

const LOOK_EVERY_MS = 5_000

function NoRelayPage() {
  const t = useMessages()
  return (
    <Shell title={t.room.title}>
      <Notice kind="warning" title={t.noRelay.title}>
        <p>{t.noRelay.text}</p>
        <p>{t.noRelay.help}</p>
      </Notice>
    </Shell>
  )
}

async function look(): Promise<void> {
  try {
    // A redirect leads to a relay; its page is for the browser to open, not for us to read.
    const signal = timeLimit(ANSWER_LIMIT_MS)
    const answer = await fetch(location.href, { redirect: 'manual', cache: 'no-store', signal })
    if (answer.type === 'opaqueredirect') return location.reload()
  } catch {
    // The control plane is away, too; it is asked again.
  }
  setTimeout(() => void look(), LOOK_EVERY_MS)
}

show(<NoRelayPage />, (t) => t.noRelay.title)
setTimeout(() => void look(), LOOK_EVERY_MS)
