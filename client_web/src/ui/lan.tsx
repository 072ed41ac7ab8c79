/*
 * Where pupils find the library on the school's network: a QR code and an address to type.
 *
 * Lives here: asking the relay (GET /api/lan) and drawing its answer; nothing is drawn where the
 * relay lets nobody in without a link, or is not on this network. What must not: what is watched.
 */
import { useEffect, useState } from 'preact/hooks'
import { request } from '../http'
import { useMessages } from '../i18n'

export interface LanPlaces {
  name: string
  visitors: boolean
  /** Addresses of the library, the best first. */
  addresses: string[]
  /** The library by https, or null. */
  secure: string | null
}

/** What the relay says of its network; null where it says nothing. */
export async function askLan(origin = location.origin): Promise<LanPlaces | null> {
  try {
    return JSON.parse((await request(`${origin}/api/lan`, '')).text) as LanPlaces
  } catch {
    return null
  }
}

/** Addresses may change with the school's router. */
const AGAIN_MS = 60_000

/** "192.168.1.7:8081/library": what a person types, and no more. */
const typed = (address: string): string => address.replace(/^http:\/\//, '')

export function LanAddress() {
  const t = useMessages()
  const [places, setPlaces] = useState<LanPlaces | null>(null)
  useEffect(() => {
    let left = false
    const ask = async (): Promise<void> => {
      const found = await askLan()
      if (!left) setPlaces(found)
    }
    void ask()
    const timer = setInterval(() => void ask(), AGAIN_MS)
    return () => {
      left = true
      clearInterval(timer)
    }
  }, [])
  const best = places?.addresses[0]
  if (best === undefined) return null
  const named = places?.addresses.find((one) => one.includes('.local:'))
  return (
    <aside class="lan">
      {/* The address in the query, so that a changed one is drawn anew. */}
      <img
        src={`/api/lan/qr.svg?${encodeURIComponent(best)}`}
        alt={t.lan.qr}
        width="160"
        height="160"
      />
      <div>
        <strong>{t.lan.title}</strong>
        <p>{t.lan.scan}</p>
        <p class="address">
          {typed(best)}
          {named !== undefined && named !== best && (
            <>
              {' '}
              <span>{t.lan.or}</span> {typed(named)}
            </>
          )}
        </p>
      </div>
    </aside>
  )
}
