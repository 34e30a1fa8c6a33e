import { createHash } from 'node:crypto'
import { constants } from 'node:fs'
import type { Readable } from 'node:stream'
import type { AttemptSpec, NeededArtifact } from '../../contract/attempt.ts'
import { ErrandError } from '../../contract/errors.ts'
import { LeadsOut, openBeneath } from '../../platform/beneath.ts'
import type { Asking, HubRetry } from '../link/hub-retry.ts'

/** Fetches what a run has stored, like `ArtifactKeeper.fetch`. */
type Fetch = (runId: string, artifactId: string, signal: AbortSignal) => Promise<Readable>

/**
 * Puts the files that an attempt needs into its workspace, before anything of it runs. Other steps of the run may work
 * there: no link redirects a file. Idempotent. Throws `not_found`, `output_damaged`, `HubAway`, `invalid_argument` for
 * a path that leads out, `disk_full`.
 */
export async function fetchNeededFiles(
  { run_id, needs_files = [] }: Pick<AttemptSpec, 'run_id' | 'needs_files'>,
  workspace: string,
  { fetch, retry }: { fetch: Fetch; retry: HubRetry },
  asking: Asking,
): Promise<void> {
  for (const needed of needs_files)
    await retry
      .whileAway(() => fetchFile(run_id, needed, workspace, fetch, asking.signal), asking)
      .catch((error) => {
        throw worded(error, needed)
      })
}

async function fetchFile(
  runId: string,
  { artifact_id, name, bytes, sha256, to }: NeededArtifact,
  workspace: string,
  fetch: Fetch,
  signal: AbortSignal,
): Promise<void> {
  const content = await fetch(runId, artifact_id, signal)
  const found = createHash('sha256')
  let length = 0
  const flags = constants.O_WRONLY | constants.O_CREAT
  const file = await openBeneath(workspace, to, flags, 0o644).catch((error) => {
    content.destroy()
    throw error
  })
  try {
    await file.truncate()
    for await (const piece of content as AsyncIterable<Buffer>) {
      length += piece.length
      if (length > bytes) break
      found.update(piece)
      await file.writeFile(piece, { signal })
    }
  } finally {
    await file.close()
  }
  if (length === bytes && found.digest('hex') === sha256) return
  throw new ErrandError('output_damaged', `The received content of ${name} differs from what was stored.`, {
    hint: 'Start the run again, and check the disk of the hub.',
  })
}

function worded(error: unknown, { name, to }: NeededArtifact): unknown {
  if (error instanceof LeadsOut)
    return new ErrandError('invalid_argument', `${name} cannot be written to ${to}: ${error.message}.`, {
      hint: 'Use a path inside the workspace that contains no symbolic link.',
    })
  const { code } = error as NodeJS.ErrnoException
  if (code === 'ENOSPC' || code === 'EDQUOT')
    return new ErrandError('disk_full', `No space is left to write ${name} to ${to}.`)
  return error
}
