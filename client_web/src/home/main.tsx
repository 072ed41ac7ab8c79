/*
 * The start page: three ways in, and how it works in three sentences.
 */
import '../ui/base.css'
import './home.css'
import { useMessages } from '../i18n'
import { Icon } from '../ui/icons'
import { Shell, show } from '../ui/shell'

function HomePage() {
  const t = useMessages()
  const doors = [
    { href: '/teach', icon: 'camera', title: t.home.teach, text: t.home.teachText },
    { href: '/room', icon: 'rooms', title: t.home.room, text: t.home.roomText },
    { href: '/library', icon: 'play', title: t.home.library, text: t.home.libraryText },
  ] as const
  return (
    <Shell title={t.common.product}>
      <p class="intro">{t.home.intro}</p>
      <ul class="doors">
        {doors.map((door) => (
          <li>
            <a href={door.href}>
              <Icon name={door.icon} />
              <strong>{door.title}</strong>
              <span>{door.text}</span>
            </a>
          </li>
        ))}
      </ul>
      <section class="card how" aria-labelledby="how">
        <h2 id="how">{t.home.howTitle}</h2>
        <ol>
          {t.home.how.map((step) => (
            <li>{step}</li>
          ))}
        </ol>
      </section>
    </Shell>
  )
}

show(<HomePage />, (t) => t.home.title)
