import type { AttemptEnd, StreamEnd, StreamName } from '../contract/attempt.ts'
import { messageOf } from '../contract/errors.ts'
import type { OutputStore } from './ports.ts'

type Failure = Pick<AttemptEnd, 'reason' | 'message'>

/**
 * The end of an attempt with its streams as they are kept here. A success whose output differs, or could not be
 * kept, is none.
 */
export async function sealed(
  outputs: OutputStore,
  attemptId: string,
  known: readonly StreamName[],
  reported: AttemptEnd,
): Promise<AttemptEnd> {
  const sent = reported.streams ?? {}
  const streams = { ...sent }
  const output_files = { ...reported.output_files }
  const seal = async (stream: StreamName): Promise<Failure | undefined> => {
    const there = sent[stream]
    try {
      const { file, ...kept } = await outputs.seal(attemptId, stream, there !== undefined)
      streams[stream] = kept
      if (file) output_files[stream] ??= file
      return there && differing(stream, there, kept)
    } catch (error) {
      return { reason: 'output_failed', message: `${stream} could not be kept: ${messageOf(error)}` }
    }
  }
  const all = new Set([...known, ...(Object.keys(sent) as StreamName[])])
  const failures = await Promise.all([...all].map(seal))
  const failure = reported.outcome === 'success' ? failures.find((one) => one !== undefined) : undefined
  return {
    ...reported,
    ...(failure ? { outcome: 'failed', ...failure } : {}),
    streams: Object.keys(streams).length > 0 ? streams : undefined,
    output_files: Object.keys(output_files).length > 0 ? output_files : undefined,
  }
}

function differing(stream: StreamName, there: StreamEnd, kept: StreamEnd): Failure | undefined {
  if (there.length === kept.length && there.sha256 === kept.sha256) return undefined
  const message = `${stream} is ${there.length} bytes where it was made and ${kept.length} bytes here, or differs.`
  return { reason: 'output_mismatch', message }
}
