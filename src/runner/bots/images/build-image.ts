import { ErrandError } from '../../../contract/errors.ts'
import type { OwnLabels } from '../../docker/docker-engine.ts'
import { folderEntries, readIgnoreFile, SkippedPaths } from '../../sources/folder-entries.ts'
import { tarOf } from '../../sources/pack.ts'
import type { ImageSupply } from './image-supply.ts'
import { withoutScripts } from './run-mounts.ts'

/** Number of a build's last lines in its error. */
const MAX_REPORTED_LINES = 20

export interface BuildFolder {
  folder: string
  dockerfile: string
  /** Files that belong to it whatever .dockerignore says, besides the Dockerfile. */
  keep: readonly string[]
}

/** Builds without secrets, within the limits of the operator. Returns the image's id. */
export async function buildImage(
  { folder, dockerfile, keep }: BuildFolder,
  { name, labels }: { name: string; labels: OwnLabels },
  { engine, settings, refresh, buildTurn, progress, signal }: ImageSupply,
): Promise<string> {
  using _turn = await buildTurn(signal)
  const skipped = new SkippedPaths(await readIgnoreFile(folder), [dockerfile, ...keep])
  const late = AbortSignal.timeout(settings.buildTimeoutMs)
  const until = AbortSignal.any([signal, late])
  const last: string[] = []
  try {
    const entries = await folderEntries(folder, skipped, until)
    const { id } = await engine.build({
      context: () => tarOf(entries),
      dockerfile,
      args: {},
      name,
      labels,
      limits: settings.buildLimits,
      refresh,
      progress: (progressLine) => {
        const line = withoutScripts(progressLine)
        last.push(line)
        if (last.length > MAX_REPORTED_LINES) last.shift()
        progress(line)
      },
      signal: until,
    })
    return id
  } catch (error) {
    signal.throwIfAborted()
    if (late.aborted)
      throw failed(`The build took longer than ${settings.buildTimeoutMs / 1000} s.`, last, {
        hint: 'Do less in the build, or have the operator of the runner set ERRAND_BUILD_SECONDS.',
        cause: error,
      })
    if (!(error instanceof ErrandError) || error.code !== 'build_failed') throw error
    throw failed(withoutScripts(error.message), last, { hint: error.hint, cause: error })
  }
}

const failed = (message: string, last: readonly string[], options: { hint?: string; cause: unknown }) =>
  new ErrandError('build_failed', [message, ...last].join('\n'), options)
