import type { StreamName } from '../../contract/attempt.ts'
import type { AttemptSink } from '../../engine/ports.ts'

/** Writes of one stream go to the sink one after another, each at its offset. */
export function orderlyOutput(sink: AttemptSink): (stream: StreamName, bytes: Buffer) => Promise<void> {
  const offsets = { stdout: 0, stderr: 0 }
  const last = { stdout: Promise.resolve(), stderr: Promise.resolve() }
  return (stream, bytes) => {
    const written = last[stream].then(async () => {
      await sink.output(stream, offsets[stream], bytes)
      offsets[stream] += bytes.length
    })
    last[stream] = written.catch(() => undefined)
    return written
  }
}
