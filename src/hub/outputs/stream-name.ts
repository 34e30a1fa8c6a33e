import type { StreamName } from '../../contract/attempt.ts'
import { ErrandError } from '../../contract/errors.ts'
import { RunId, splitAttemptId } from '../../contract/ids.ts'

/** A stream's place below a folder: the run's folder, and the file in it. Throws `bad_request` for no attempt id. */
export function streamPlace(attemptId: string, stream: StreamName): { runId: string; file: string } {
  const { runId, number } = splitAttemptId(attemptId)
  if (!RunId.safeParse(runId).success || !Number.isSafeInteger(number) || number < 1)
    throw new ErrandError('bad_request', `This is no attempt's id: ${attemptId}`, {
      hint: "An attempt's id is its run's id, a dot and its number, such as run_a.1.",
    })
  return { runId, file: `${number}.${stream}` }
}

/** Drops what is kept already. Throws `conflict` where bytes would be missing in between. */
export function newBytes(
  attemptId: string,
  stream: StreamName,
  kept: number,
  offset: number,
  bytes: Buffer,
): Buffer {
  if (offset > kept)
    throw new ErrandError(
      'conflict',
      `Bytes ${kept} to ${offset} of ${stream} of ${attemptId} are missing.`,
      {
        hint: `Send again from byte ${kept} on.`,
      },
    )
  return bytes.subarray(kept - offset)
}
