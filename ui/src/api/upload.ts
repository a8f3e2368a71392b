/**
 * Upload: a file as the body of a request, with progress.
 *
 * Always true    the file is streamed from the disk by the browser: none of it is held in memory
 */
import { problemOf } from "./client"

export type Upload = { done: Promise<void>; stop: () => void }

/** `onShare`: 0 to 1. `done` throws Problem, also when it was stopped. */
export function upload(path: string, file: Blob, onShare: (share: number) => void): Upload {
  const request = new XMLHttpRequest()
  const done = new Promise<void>((resolve, reject) => {
    request.upload.onprogress = event => event.lengthComputable && onShare(event.loaded / event.total)
    request.onload = () => {
      if (request.status >= 200 && request.status < 300) resolve()
      else reject(problemOf(parsed(request.responseText), request.status))
    }
    request.onerror = () => reject(problemOf(undefined, request.status))
    request.onabort = () => reject(problemOf(undefined, 0))
  })
  request.open("PUT", path)
  request.send(file)
  return { done, stop: () => request.abort() }
}

function parsed(text: string): unknown {
  try {
    return JSON.parse(text)
  } catch {
    return undefined
  }
}
