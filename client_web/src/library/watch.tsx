/*
 * One lesson and its controls.
 */
import { useEffect, useRef, useState } from 'preact/hooks'
import type { Lesson } from '../api'
import { expose } from '../debug'
import { duration, useMessages } from '../i18n'
import { placeAt } from '../materials/list'
import { FilePanel } from '../offline/file'
import type { Keeper } from '../offline/keeper'
import { pageWorker } from '../offline/page_worker'
import { KeepPanel } from '../offline/panel'
import { keptAddress, keptMaterials } from '../offline/store'
import { withPart } from '../parts'
import { useObservable } from '../ui/hooks'
import { Icon, type IconName } from '../ui/icons'
import { Notice } from '../ui/shell'
import { archiveOf, hostOf, isRunning } from './catalog'
import { LessonMaterials } from './materials'
import { Player, type Quality } from './player'

type Layout = 'screen' | 'camera' | 'side'

const RATES = [0.5, 0.75, 1, 1.25, 1.5, 1.75, 2]
const SKIP_S = 10

/** keeper: of this device, null where the browser keeps no lessons, undefined while that is not known. */
export function Watch(props: { lesson: Lesson; token: string; keeper: Keeper | null | undefined }) {
  const { lesson, token, keeper } = props
  const archive = archiveOf(lesson, location.origin)
  // What is kept here plays without a network; only a page that the service worker knows finds it.
  const [isHere] = useState(
    () =>
      keeper?.holding(lesson.id)?.isPlayable === true &&
      navigator.serviceWorker.controller !== null,
  )
  // A lesson kept before its materials were kept, too, has them at the server.
  const [kept] = useState(() =>
    isHere && keeper?.holding(lesson.id)?.hasMaterials === true
      ? keptMaterials(
          lesson.id,
          placeAt(hostOf(lesson, location.origin), lesson.id, token),
          (digest) =>
            keeper.holding(lesson.id)?.missing.some((one) => one.digest === digest) === true,
        )
      : null,
  )
  const [player] = useState(
    () =>
      new Player({
        archive: isHere ? keptAddress(lesson.id) : archive,
        token: isHere ? '' : token,
        lesson: lesson.id,
        live: isRunning(lesson),
      }),
  )
  useEffect(() => {
    expose(
      'library',
      () => ({
        player: player.state,
        lesson: lesson.id,
        time: player.time,
        length: player.length,
        live: player.live,
        playing: !player.main.paused,
        screen: player.screenShown,
        quality: player.quality,
        caption: player.caption,
        kept: isHere,
        holding: keeper?.holding(lesson.id)?.state ?? null,
      }),
      () => null,
    )
    const stop = withPart(() => player.open())
    return () => {
      stop()
      player.close()
    }
  }, [player, lesson.id, keeper, isHere])
  useObservable(player)
  useObservable(pageWorker)
  const isRefused = pageWorker.state === 'refused' && keeper?.holding(lesson.id) === null
  // Recordings that still grow are not kept; the control plane has none of its own.
  const isOwn = lesson.playable === true && !isRunning(lesson)
  return (
    <>
      <Stage player={player} isHere={isHere} />
      <LessonMaterials lesson={lesson} token={token} kept={kept} player={player} />
      {isOwn && keeper && !isRefused && <KeepPanel keeper={keeper} lesson={lesson} />}
      {isOwn && (keeper === null || isRefused) && (
        <FilePanel lesson={lesson} archive={archive} token={token} />
      )}
    </>
  )
}

function Stage(props: { player: Player; isHere: boolean }) {
  const t = useMessages()
  const { player, isHere } = props
  const [layout, setLayout] = useState<Layout>('screen')
  const frame = useRef<HTMLDivElement>(null)
  const shown = player.screenShown ? (player.hasPicture ? layout : 'slides') : 'alone'
  const keys = (event: KeyboardEvent): void => {
    const target = event.target as Element
    // Lists, sliders and buttons have keys of their own.
    if (target.closest('select, input') !== null || event.ctrlKey || event.altKey || event.metaKey)
      return
    if (event.key === ' ' && target.closest('button, a') !== null) return
    const act = {
      ' ': () => player.toggle(),
      k: () => player.toggle(),
      ArrowLeft: () => player.skip(-SKIP_S),
      ArrowRight: () => player.skip(SKIP_S),
      m: () => toggleSound(player),
      f: () => toggleFull(frame.current),
      c: () => toggleCaptions(player),
    }[event.key]
    if (act === undefined) return
    event.preventDefault()
    act()
  }
  // Only while the focus is in here, so that no key of somebody's own means something else to us
  // (WCAG 2.1.4); a press on the picture brings it here, too.
  return (
    <div class="player" ref={frame} tabIndex={-1} onKeyDown={keys}>
      <div class={`stage ${shown}`} onClick={() => player.toggle()}>
        <Element class="screen-picture" video={player.screen} label={t.room.screenLabel} />
        <Element class="camera-picture" video={player.main} label={t.room.cameraLabel} />
        <p class="over" role="status">
          {player.state === 'loading' && t.player.loading}
          {player.state === 'ready' && player.waiting && t.player.waiting}
          {player.state === 'ready' &&
            !player.waiting &&
            shown === 'alone' &&
            !player.hasPicture && <Icon name="sound" />}
        </p>
        {player.caption !== '' && (
          <p class="caption" lang={player.captions ?? 'vi'}>
            <span>{player.caption}</span>
          </p>
        )}
      </div>
      {player.state === 'failed' && (
        <Notice kind="bad" title={t.player.failed}>
          <p>{t.player.failedFix}</p>
        </Notice>
      )}
      {player.state === 'missing' && <Notice kind="warning" title={t.player.notFound} />}
      <SeekBar player={player} />
      <Controls
        player={player}
        layout={layout}
        setLayout={setLayout}
        full={() => toggleFull(frame.current)}
      />
      <Resumed player={player} />
      {isHere && <p class="hint">{t.player.fromDevice}</p>}
      <p class="hint">{t.player.keys}</p>
    </div>
  )
}

/** Puts an element that the player owns into the page. */
function Element(props: { class: string; video: HTMLVideoElement; label: string }) {
  const place = useRef<HTMLDivElement>(null)
  const { video, label } = props
  useEffect(() => {
    place.current?.append(video)
  }, [video])
  useEffect(() => video.setAttribute('aria-label', label), [video, label])
  return <div class={props.class} ref={place} />
}

function SeekBar(props: { player: Player }) {
  const t = useMessages()
  const { player } = props
  // While the thumb is held it must not be pulled away by the playing time.
  const [held, hold] = useState<number | null>(null)
  const length = Math.max(1, player.length)
  const at = held ?? player.time
  return (
    <div class="seek">
      <span class="time">{duration(at)}</span>
      <input
        type="range"
        min={0}
        max={length}
        step={5}
        value={at}
        aria-label={t.player.seek}
        aria-valuetext={t.player.position(duration(at), duration(length))}
        onInput={(event) => hold(event.currentTarget.valueAsNumber)}
        onChange={(event) => {
          player.seek(event.currentTarget.valueAsNumber)
          hold(null)
        }}
      />
      <span class="time">{duration(length)}</span>
    </div>
  )
}

function Controls(props: {
  player: Player
  layout: Layout
  setLayout: (layout: Layout) => void
  full: () => void
}) {
  const t = useMessages()
  const { player } = props
  const { main } = player
  const silent = main.muted || main.volume === 0
  return (
    <div class="controls">
      <Press
        icon={main.paused ? 'play' : 'pause'}
        words={main.paused ? t.player.play : t.player.pause}
        press={() => player.toggle()}
        main
      />
      <button type="button" class="button" onClick={() => player.skip(-SKIP_S)}>
        {t.player.back10}
      </button>
      <button type="button" class="button" onClick={() => player.skip(SKIP_S)}>
        {t.player.forward10}
      </button>
      {player.live &&
        (player.atLive ? (
          <span class="badge">{t.player.atLive}</span>
        ) : (
          <button type="button" class="button danger" onClick={() => player.goLive()}>
            <span class="dot" aria-hidden="true" />
            {t.player.goLive}
          </button>
        ))}
      <span class="volume">
        <Press
          icon={silent ? 'soundOff' : 'sound'}
          words={silent ? t.player.unmute : t.player.mute}
          press={() => toggleSound(player)}
        />
        <input
          type="range"
          min={0}
          max={1}
          step={0.1}
          value={silent ? 0 : main.volume}
          aria-label={t.player.volume}
          onInput={(event) => {
            main.volume = event.currentTarget.valueAsNumber
            main.muted = false
          }}
        />
      </span>
      <Choice
        label={t.player.speed}
        value={String(main.playbackRate)}
        options={RATES.map((rate) => [String(rate), `${rate}×`])}
        choose={(value) => player.setRate(Number(value))}
      />
      <Choice
        label={t.player.quality}
        value={String(player.quality)}
        options={[
          ['auto', t.player.auto],
          ...player.heights.map((height): [string, string] => [
            String(height),
            t.player.lines(height),
          ]),
          ...(player.hasScreen ? [['slides', t.player.voiceAndSlides] as [string, string]] : []),
          ['voice', t.player.voiceOnly],
        ]}
        choose={(value) => player.setQuality(toQuality(value))}
      />
      {player.captionsChoices.length > 0 && (
        <Choice
          label={t.player.captions}
          value={player.captions ?? ''}
          options={[
            ['', t.player.captionsOff],
            ...player.captionsChoices.map((one): [string, string] => [one.language, one.label]),
          ]}
          choose={(value) => player.setCaptions(value === '' ? null : value)}
        />
      )}
      {player.screenShown && player.hasPicture && (
        <Choice
          label={t.player.layout}
          value={props.layout}
          options={Object.entries(t.player.layouts)}
          choose={(value) => props.setLayout(value as Layout)}
        />
      )}
      {document.fullscreenEnabled && (
        <Press icon="full" words={t.player.fullScreen} press={props.full} />
      )}
    </div>
  )
}

function Press(props: { icon: IconName; words: string; press: () => void; main?: boolean }) {
  return (
    <button
      type="button"
      class={props.main === true ? 'button primary' : 'button'}
      aria-label={props.words}
      title={props.words}
      onClick={props.press}
    >
      <Icon name={props.icon} />
    </button>
  )
}

function Choice(props: {
  label: string
  value: string
  options: [string, string][]
  choose: (value: string) => void
}) {
  return (
    <label class="choice">
      <span>{props.label}</span>
      <select value={props.value} onChange={(event) => props.choose(event.currentTarget.value)}>
        {props.options.map(([value, words]) => (
          <option value={value}>{words}</option>
        ))}
      </select>
    </label>
  )
}

function Resumed(props: { player: Player }) {
  const t = useMessages()
  const { player } = props
  const [gone, dismiss] = useState(false)
  if (player.resumedFrom === null || gone || player.state !== 'ready') return null
  return (
    <p class="resumed" role="status">
      {t.player.resumed(duration(player.resumedFrom))}{' '}
      <button
        type="button"
        class="button"
        onClick={() => {
          player.seek(0)
          dismiss(true)
        }}
      >
        {t.player.startOver}
      </button>
    </p>
  )
}

const toQuality = (value: string): Quality =>
  value === 'auto' || value === 'slides' || value === 'voice' ? value : Number(value)

function toggleCaptions(player: Player): void {
  player.setCaptions(
    player.captions === null ? (player.captionsChoices[0]?.language ?? null) : null,
  )
}

function toggleSound(player: Player): void {
  player.main.muted = !player.main.muted
  if (!player.main.muted && player.main.volume === 0) player.main.volume = 1
}

function toggleFull(frame: HTMLElement | null): void {
  const change =
    document.fullscreenElement === null ? frame?.requestFullscreen() : document.exitFullscreen()
  // A refusal leaves the page as it was.
  change?.catch(() => undefined)
}
