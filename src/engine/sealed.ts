import type { AttemptEnd, StreamName } from '../contract/attempt.ts'
import type { OutputStore } from './ports.ts'

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
  const failures: Pick<AttemptEnd, 'reason' | 'message'>[] = []
  for (const stream of new Set([...known, ...(Object.keys(sent) as StreamName[])]))
    try {
      const there = sent[stream]
      const { file, ...kept } = await outputs.seal(attemptId, stream, there !== undefined)
      streams[stream] = kept
      if (file) output_files[stream] ??= file
      if (!there || (there.length === kept.length && there.sha256 === kept.sha256)) continue
      const message = `${stream} is ${there.length} bytes where it was made and ${kept.length} bytes here, or differs.`
      failures.push({ reason: 'output_mismatch', message })
    } catch (error) {
      failures.push({
        reason: 'output_failed',
        message: `${stream} could not be kept: ${(error as Error).message}`,
      })
    }
  const [failure] = reported.outcome === 'success' ? failures : []
  return {
    ...reported,
    ...(failure ? { outcome: 'failed', ...failure } : {}),
    streams: Object.keys(streams).length > 0 ? streams : undefined,
    output_files: Object.keys(output_files).length > 0 ? output_files : undefined,
  }
}
