/*
 * How components follow protocol objects and the clock.
 */
import { useEffect, useReducer } from 'preact/hooks'
import type { Observable } from '../observable'

/** Draw again after every change of `model`. */
export function useObservable(model: Observable | null): void {
  const [, redraw] = useReducer((count: number) => count + 1, 0)
  useEffect(() => model?.onChange(() => redraw(null)), [model])
}

/** The time, refreshed every `everyMs`, in milliseconds since 1970. */
export function useNow(everyMs = 1_000): number {
  const [, redraw] = useReducer((count: number) => count + 1, 0)
  useEffect(() => {
    const timer = setInterval(() => redraw(null), everyMs)
    return () => clearInterval(timer)
  }, [everyMs])
  return Date.now()
}
