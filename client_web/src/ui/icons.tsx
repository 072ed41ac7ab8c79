/*
 * The few signs that stand beside words on buttons; hidden from screen readers, since the words say
 * it all.
 */
const SHAPES = {
  microphone:
    'M12 3a3 3 0 0 1 3 3v5a3 3 0 0 1-6 0V6a3 3 0 0 1 3-3ZM6 11a6 6 0 0 0 12 0M12 17v4M9 21h6',
  microphoneOff:
    'M9 6a3 3 0 0 1 6 0v5m-6-2v2a3 3 0 0 0 4.5 2.6M6 11a6 6 0 0 0 9.5 4.9M18 11v1M12 17v4M9 21h6M4 3l16 18',
  camera: 'M3 7h11v10H3zM14 11l6-3.5v9L14 13',
  cameraOff: 'M6 7H3v10h11v-2M10 7h4v5l6 4V7.5L14 11M4 3l16 18',
  screen: 'M3 4h18v12H3zM9 20h6M12 16v4',
  screenOff: 'M3 4h18v12H3zM9 20h6M12 16v4M9 7.5l6 5M15 7.5l-6 5',
  stop: 'M6 6h12v12H6z',
  play: 'M7 4.5v15l12-7.5z',
  pause: 'M7 5h3.5v14H7zM13.5 5H17v14h-3.5z',
  keep: 'M12 4v11M7 10.5l5 5 5-5M4 20h16',
  back: 'M11 5 4 12l7 7M4 12h16',
  full: 'M4 9V4h5M15 4h5v5M20 15v5h-5M9 20H4v-5',
  sound: 'M4 9h4l5-4v14l-5-4H4zM16 9a4 4 0 0 1 0 6M18.5 6.5a8 8 0 0 1 0 11',
  soundOff: 'M4 9h4l5-4v14l-5-4H4zM17 9.5l4 5M21 9.5l-4 5',
  rewind: 'M12 6 4 12l8 6zM21 6l-8 6 8 6z',
  live: 'M12 10a2 2 0 1 0 0 4 2 2 0 0 0 0-4M7.5 7.5a6.4 6.4 0 0 0 0 9M16.5 7.5a6.4 6.4 0 0 1 0 9M4.5 4.5a10.6 10.6 0 0 0 0 15M19.5 4.5a10.6 10.6 0 0 1 0 15',
  link: 'M10 14a4 4 0 0 0 6 .4l3-3a4 4 0 0 0-5.7-5.7l-1.5 1.5M14 10a4 4 0 0 0-6-.4l-3 3a4 4 0 0 0 5.7 5.7l1.5-1.5',
  rooms: 'M4 20v-8l8-6 8 6v8zM10 20v-5h4v5',
  layout: 'M3 5h18v14H3zM13 12h8M13 12v7',
  search: 'M11 4a7 7 0 1 0 0 14 7 7 0 0 0 0-14ZM16 16l5 5',
  file: 'M6 3h8l4 4v14H6zM14 3v4h4M9 12h6M9 16h6',
  picture: 'M3 5h18v14H3zM3 16l5-5 4 4 4-5 5 6M8 9.2v.2',
  close: 'M6 6l12 12M18 6 6 18',
  tick: 'M5 12.5 10 17.5 19 7',
  warning: 'M12 4 2.5 20h19zM12 10v4.5M12 17.2v.3',
  gear: 'M4 7h9M17 7h3M13 5v4M4 17h3M11 17h9M7 15v4',
} as const

export type IconName = keyof typeof SHAPES

const FILLED: readonly IconName[] = ['stop', 'play', 'pause']

export function Icon(props: { name: IconName }) {
  return (
    <svg
      class={FILLED.includes(props.name) ? 'icon filled' : 'icon'}
      viewBox="0 0 24 24"
      aria-hidden="true"
      focusable="false"
    >
      <path d={SHAPES[props.name]} />
    </svg>
  )
}
