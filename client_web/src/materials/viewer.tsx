/*
 * One file of a lesson's materials, shown: a picture, a PDF, a film, sound, text, or the way to get it.
 *
 * What a file is shown as is decided by its name and the browser, never by what is in it, so nothing
 * in a file is ever run as part of the page.
 */
import { useEffect, useState } from 'preact/hooks'
import { useLanguage } from '../i18n'
import { useMaterialsWords } from '../i18n/materials'
import { problemWords } from '../i18n/problems'
import { useObservable } from '../ui/hooks'
import { Icon } from '../ui/icons'
import { MaterialFile } from './file'
import { kindOf } from './kinds'
import type { Material, Place } from './list'

/** onPlay: film or sound begins to play. */
export function Viewer(props: {
  material: Material
  place: Place
  onPlay?: (() => void) | undefined
}) {
  const { material, place } = props
  const words = useMaterialsWords()
  const { lang } = useLanguage()
  const [file] = useState(() => new MaterialFile(place, material))
  useObservable(file)
  useEffect(() => {
    void file.open()
    return () => file.close()
  }, [file])
  const { state, url } = file
  const refused = file.problem === null ? null : problemWords(file.problem, lang)
  const isGone = file.problem?.status === 404
  return (
    <div class="material">
      {/* Only what changes seldom is read out; the figure beside the bar is not. */}
      <div class="material-state" role="status">
        {state === 'on-its-way' && <State title={words.onItsWay} text={words.onItsWayText} />}
        {state === 'waiting' && <State title={words.waiting} text={words.waitingText} />}
        {refused !== null && (
          <State title={refused.title} text={isGone ? words.listLost : refused.fix} />
        )}
      </div>
      {(state === 'loading' || (state === 'waiting' && file.bytes > 0)) && (
        <label class="material-progress">
          <span>{words.loading(file.percent)}</span>
          <progress value={file.percent} max={100} />
        </label>
      )}
      {url !== null && <Shown file={file} url={url} onPlay={props.onPlay} />}
    </div>
  )
}

function State(props: { title: string; text: string }) {
  return (
    <>
      <strong>{props.title}</strong>
      <p>{props.text}</p>
    </>
  )
}

function Shown(props: { file: MaterialFile; url: string; onPlay: (() => void) | undefined }) {
  const { file, url, onPlay } = props
  const { name } = file.material
  const words = useMaterialsWords()
  const [broken, setBroken] = useState(false)
  const fail = (): void => setBroken(true)
  const kind = kindOf(name)
  const isHandedOut = kind === 'document' || (kind === 'pdf' && !showsPdf())
  const download = (
    <p class="material-download">
      <a class="button" href={url} download={name}>
        <Icon name="keep" />
        {words.download}
      </a>
    </p>
  )
  if (broken || isHandedOut)
    return (
      <div class="material-state" role="status">
        <p>{broken ? words.broken : words.notShown}</p>
        {download}
      </div>
    )
  return (
    <>
      <div class={`material-shown ${kind}`}>
        {kind === 'picture' && <img src={url} alt={name} onError={fail} />}
        {/* Side by side with thumbnails a page would be small on a projector. */}
        {kind === 'pdf' && <iframe src={`${url}#view=FitH&navpanes=0`} title={name} />}
        {kind === 'film' && (
          <video src={url} aria-label={name} controls playsInline onPlay={onPlay} onError={fail} />
        )}
        {kind === 'sound' && (
          <audio src={url} aria-label={name} controls onPlay={onPlay} onError={fail} />
        )}
        {kind === 'text' && <Text blob={file.blob} name={name} />}
      </div>
      {download}
    </>
  )
}

function Text(props: { blob: Blob | null; name: string }) {
  const [text, setText] = useState('')
  const { blob } = props
  useEffect(() => {
    let left = false
    void blob?.arrayBuffer().then((data) => {
      if (!left) setText(readText(data))
    })
    return () => {
      left = true
    }
  }, [blob])
  // Long texts are scrolled by keyboard, too.
  return (
    <pre tabIndex={0} role="region" aria-label={props.name}>
      {text}
    </pre>
  )
}

/** As UTF-8, unless the file says at its start that it is what older Windows wrote. */
export function readText(data: ArrayBuffer): string {
  const [first, second] = new Uint8Array(data.slice(0, 2))
  const isWide = first === 0xff && second === 0xfe
  return new TextDecoder(isWide ? 'utf-16le' : 'utf-8').decode(data)
}

/** Phones show no PDF within a page, and iPads only its first side. */
export function showsPdf(
  browser: Pick<Navigator, 'userAgent' | 'maxTouchPoints'> = navigator,
): boolean {
  const { userAgent, maxTouchPoints } = browser
  // An iPad says that it is a Mac, which has no touch screen.
  const isApple = /iPad|iPhone|iPod/.test(userAgent)
  if (isApple || (userAgent.includes('Macintosh') && maxTouchPoints > 1)) return false
  const { pdfViewerEnabled } = browser as { pdfViewerEnabled?: boolean }
  return pdfViewerEnabled ?? !userAgent.includes('Android')
}
