/*
 * One file on its way to the control plane, with word of how far it is.
 *
 * XMLHttpRequest, since `fetch` tells nothing of an upload's progress; the browser reads the file as it
 * sends it. What must not live here: which file comes next, trying again (materials.ts).
 */
import { Problem, readProblem, Unreachable } from '../http'

/** No byte taken and no answer for so long is a network that broke off. */
export const STALL_MS = 45_000

/**
 * PUT `file` to `url`; resolves with the answer's text. progress(bytes): sent so far. Throws
 * `Problem` or `Unreachable`; the latter also when `stop` aborts.
 */
export function upload(
  url: string,
  token: string,
  file: Blob,
  progress: (bytes: number) => void,
  stop: AbortSignal,
): Promise<string> {
  return new Promise((resolve, reject) => {
    const order = new XMLHttpRequest()
    let timer: ReturnType<typeof setTimeout>
    const abort = (): void => order.abort()
    const wait = (): void => {
      clearTimeout(timer)
      timer = setTimeout(abort, STALL_MS)
    }
    const away = (): void => {
      end()
      reject(new Unreachable(`no answer from ${url}`))
    }
    const end = (): void => {
      clearTimeout(timer)
      stop.removeEventListener('abort', abort)
    }
    order.upload.onprogress = (event) => {
      wait()
      progress(event.loaded)
    }
    order.onload = () => {
      end()
      const { status, responseText } = order
      if (status >= 200 && status < 300) resolve(responseText)
      else reject(refusal(order))
    }
    order.onerror = away
    order.onabort = away
    order.open('PUT', url)
    if (token !== '') order.setRequestHeader('Authorization', `Bearer ${token}`)
    stop.addEventListener('abort', abort)
    wait()
    order.send(file)
    if (stop.aborted) abort()
  })
}

function refusal(order: XMLHttpRequest): Problem {
  const retry = order.getResponseHeader('Retry-After')
  return readProblem(
    {
      status: order.status,
      statusText: order.statusText,
      headers: new Headers(retry === null ? {} : { 'Retry-After': retry }),
    },
    order.responseText,
  )
}
