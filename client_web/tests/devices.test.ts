/*
 * Microphones and cameras that come and go.
 */
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest'
import { Devices } from '../src/teach/devices'
import { FakeBrowser, type FakeTrack } from './fake_browser'

let browser: FakeBrowser

beforeEach(() => {
  browser = new FakeBrowser()
  browser.install()
})
afterEach(() => vi.unstubAllGlobals())

const settle = (): Promise<unknown> => new Promise((resolve) => setTimeout(resolve, 5))
const held = (devices: Devices): FakeTrack => devices.microphone as unknown as FakeTrack

async function muted(): Promise<Devices> {
  const devices = new Devices()
  await devices.open()
  devices.mute(true)
  expect(held(devices).enabled).toBe(false)
  return devices
}

describe('a muted microphone', () => {
  it('stays muted when another is chosen', async () => {
    const devices = await muted()
    browser.devices.microphones.push('mic-2')
    await devices.choose('microphone', 'mic-2')
    expect([held(devices).id, held(devices).enabled]).toEqual(['mic-2', false])
  })
  it('stays muted when it is unplugged and another takes its place', async () => {
    const devices = await muted()
    browser.devices.microphones = ['mic-2']
    held(devices).unplug()
    await settle()
    expect([held(devices).id, held(devices).enabled]).toEqual(['mic-2', false])
    expect(devices.muted).toBe(true)
  })
  it('stays muted when it was missing for a while and is plugged in again', async () => {
    const devices = await muted()
    browser.devices.microphones = []
    held(devices).unplug()
    await settle()
    expect([devices.state, devices.muted]).toEqual(['missing', true])
    browser.devices.microphones = ['mic-1']
    browser.devices.ondevicechange?.()
    await settle()
    expect([devices.state, held(devices).enabled]).toEqual(['ready', false])
    devices.mute(false)
    expect(held(devices).enabled).toBe(true)
  })
  it('can be muted and unmuted while there is none', async () => {
    const devices = await muted()
    browser.devices.microphones = []
    held(devices).unplug()
    await settle()
    devices.mute(false)
    browser.devices.microphones = ['mic-1']
    browser.devices.ondevicechange?.()
    await settle()
    expect(held(devices).enabled).toBe(true)
  })
})
