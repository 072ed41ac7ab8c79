import { describe, expect, it } from 'vitest'
import {
  filesIn,
  filesOf,
  inMegabytes,
  optionsOf,
  pick,
  playlistsIn,
  readArchive,
  withMaterials,
  type Archive,
  type Rendition,
} from '../src/offline/plan'

const rendition = (name: string, codec: string, height: number, bytes: number): Rendition => ({
  name,
  inits: [{ number: 0, codec, height, bytes: 600, digest: 'a'.repeat(64) }],
  segments: [
    { beat: 0, part: 0, bytes: bytes - 600, digest: 'b'.repeat(64) },
    { beat: 1, part: 0, bytes, digest: 'c'.repeat(64) },
    { beat: 1, part: 1, bytes, digest: 'd'.repeat(64) },
  ],
})

const ARCHIVE: Archive = {
  finished: true,
  duration_ms: 60_000,
  renditions: [
    rendition('camera-f', 'vp09.00.31.08', 720, 60e6),
    rendition('camera-h', 'vp09.00.21.08', 360, 20e6),
    rendition('camera-q', 'vp09.00.11.08', 180, 6e6),
    rendition('screen', 'vp09.00.31.08', 720, 4e6),
    rendition('voice', 'opus', 0, 3e6),
  ],
  copies: [
    rendition('aac-voice', 'mp4a.40.2', 0, 5e6),
    rendition('h264-camera', 'avc1.4d401e', 360, 25e6),
    rendition('h264-screen', 'avc1.4d401f', 720, 5e6),
  ],
  captions: [{ language: 'vi', bytes: 40_000, digest: 'e'.repeat(64) }],
}
const ALL = new Set(['vp09', 'avc1', 'opus', 'mp4a'])

describe('what may be kept', () => {
  it('goes from the sharpest picture to the voice alone', () => {
    const options = optionsOf(ARCHIVE, ALL)
    expect(options.map((one) => [one.size, one.renditions.join(' ')])).toEqual([
      ['large', 'camera-f screen voice'],
      ['medium', 'camera-h screen voice'],
      ['small', 'camera-q screen voice'],
      ['slides', 'screen voice'],
      ['voice', 'voice'],
    ])
    expect(options[4]?.bytes).toBe(9e6 + 40_000)
  })

  it('takes what stands in for a large picture that was seldom sent', () => {
    const seldom = rendition('camera-f', 'vp09.00.31.08', 720, 1e6)
    const archive = { ...ARCHIVE, renditions: [seldom, ...ARCHIVE.renditions.slice(1)] }
    const options = optionsOf(archive, ALL)
    expect(options.map((one) => one.renditions[0])).toEqual([
      'camera-f',
      'camera-h',
      'camera-q',
      'screen',
      'voice',
    ])
    expect(options[0]?.bytes).toBe(options[1]?.bytes)
  })

  it('is what this device plays', () => {
    const options = optionsOf(ARCHIVE, new Set(['avc1', 'mp4a']))
    expect(options.map((one) => one.renditions.join(' '))).toEqual([
      'h264-camera h264-screen aac-voice',
      'h264-screen aac-voice',
      'aac-voice',
    ])
    expect(optionsOf(ARCHIVE, new Set(['av01']))).toEqual([])
  })

  it('names nothing twice', () => {
    const bare = { ...ARCHIVE, renditions: ARCHIVE.renditions.filter((r) => r.name === 'voice') }
    expect(optionsOf({ ...bare, copies: [] }, ALL).map((one) => one.renditions)).toEqual([
      ['voice'],
    ])
  })
})

describe('what is offered first', () => {
  const options = optionsOf(ARCHIVE, ALL)
  const offered = (free: number | null): string | undefined => pick(options, ARCHIVE, free)?.size

  it('is modest, whatever the room', () => {
    expect(offered(null)).toBe('medium')
    expect(offered(64e9)).toBe('medium')
  })

  it('takes half of the room at most', () => {
    expect(offered(170e6)).toBe('medium')
    expect(offered(150e6)).toBe('small')
    expect(offered(50e6)).toBe('slides')
    expect(offered(30e6)).toBe('voice')
    expect(offered(10e6)).toBeUndefined()
  })
})

describe('what materials take beside it', () => {
  const LIST = JSON.stringify({
    materials: [{ name: 'Ôm.pdf', bytes: 100e6, digest: 'f'.repeat(64) }],
  })
  const plain = optionsOf(ARCHIVE, ALL)
  const offered = (free: number | null): string[] =>
    withMaterials(plain, LIST, free).map(
      ({ size, bytes, leavesOut }) =>
        `${size}${leavesOut === true ? ' alone' : ''} ${Math.round(bytes / 1e6)}`,
    )
  const first = (free: number | null): string | undefined => {
    const found = pick(withMaterials(plain, LIST, free), ARCHIVE, free)
    return found === null ? undefined : `${found.size}${found.leavesOut === true ? ' alone' : ''}`
  }
  it('is in each size, and in no others while there is room', () => {
    for (const free of [null, 1e9])
      expect(offered(free)).toEqual([
        'large 301',
        'medium 181',
        'small 139',
        'slides 121',
        'voice 109',
      ])
  })
  it('may be left out of what would take too much of the device', () => {
    expect(offered(270e6)).toEqual([
      'large 301',
      'large alone 201',
      'medium 181',
      'medium alone 81',
      'small 139',
      'small alone 39',
      'slides 121',
      'voice 109',
    ])
    expect(offered(30e6).slice(-2)).toEqual(['voice 109', 'voice alone 9'])
  })
  it('is left out of the first offer only where nothing fits with it', () => {
    expect([first(null), first(1e9), first(270e6)]).toEqual(['medium', 'medium', 'slides'])
    expect([first(150e6), first(30e6), first(10e6)]).toEqual([
      'small alone',
      'voice alone',
      undefined,
    ])
  })
  it('is nothing where the lesson has none', () => {
    expect(withMaterials(plain, null, 10e6)).toEqual(plain)
  })
})

const MEDIA = `#EXTM3U
#EXT-X-MAP:URI="camera-h/init-0.mp4?token=x"
#EXTINF:8.0,
camera-h/0.m4s?token=x
#EXTINF:8.0,nothing
camera-h/fill-720000-1440000.m4s
#EXTINF:8.0,
camera-h/1-1.m4s
#EXT-X-ENDLIST
`
const MASTER = `#EXTM3U
#EXT-X-MEDIA:TYPE=AUDIO,GROUP-ID="voice",NAME="voice",URI="voice.m3u8"
#EXT-X-MEDIA:TYPE=SUBTITLES,GROUP-ID="captions",NAME="Tiếng Việt",URI="captions/vi.m3u8"
#EXT-X-STREAM-INF:BANDWIDTH=1,CODECS="x"
camera-h.m3u8
`

describe('the files of a lesson', () => {
  it('are those of its playlists, with what the manifest says of them', () => {
    expect(playlistsIn(MASTER)).toEqual(['voice.m3u8', 'captions/vi.m3u8', 'camera-h.m3u8'])
    expect(filesIn(MEDIA)).toHaveLength(4)
    const files = filesOf(ARCHIVE, {
      'master.m3u8': MASTER,
      'camera-h.m3u8': MEDIA,
      'captions/vi.m3u8': '#EXTM3U\n#EXTINF:60,\nvi.vtt\n',
      'screen/index.m3u8': '#EXTM3U\n#EXT-X-MAP:URI="init-0.mp4"\n#EXTINF:8,\n0.m4s\n',
    })
    expect(files.map((file) => [file.path, file.digest?.[0] ?? null])).toEqual([
      ['camera-h/init-0.mp4', 'a'],
      ['camera-h/0.m4s', 'b'],
      ['camera-h/fill-720000-1440000.m4s', null],
      ['camera-h/1-1.m4s', 'd'],
      ['captions/vi.vtt', 'e'],
      ['screen/init-0.mp4', 'a'],
      ['screen/0.m4s', 'b'],
    ])
  })

  it('never climb out of it, nor are what nobody vouches for', () => {
    for (const bad of [
      '../x/0.m4s',
      'https://evil.example/0.m4s',
      '/api/lessons',
      'camera-h/7.m4s',
      'x/y/0.m4s',
    ])
      expect(() => filesOf(ARCHIVE, { 'a.m3u8': `#EXTM3U\n#EXTINF:8,\n${bad}\n` })).toThrow()
  })

  it('may be absent in part from a server’s answer', () => {
    expect(readArchive({}, null)).toEqual({
      finished: false,
      duration_ms: 0,
      renditions: [],
      copies: [],
      captions: [],
    })
  })
})

it('sizes are read easily', () => {
  expect(inMegabytes(400_000, 'vi')).toBe('1 MB')
  expect(inMegabytes(84_400_000, 'vi')).toBe('84 MB')
  expect(inMegabytes(2_350_000_000, 'vi')).toBe('2,4 GB')
})
