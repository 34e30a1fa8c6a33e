import { rm } from 'node:fs/promises'
import { join, resolve } from 'node:path'
import type { AttemptSpec, StreamName } from '../../contract/attempt.ts'
import { outputFileName } from '../../contract/output-file-name.ts'
import { makeFolder } from '../../platform/make-folder.ts'
import type { AttemptOutput } from './measured-end.ts'

const STREAMS: readonly StreamName[] = ['stdout', 'stderr']

/** `args.output_path` of the step, seen from `outputDir`; undefined where it has none, or it is not for this machine. */
export function outputFolder(spec: AttemptSpec, outputDir: string | undefined): string | undefined {
  const path = spec.args.output_path
  if (outputDir === undefined || typeof path !== 'string' || path === '') return undefined
  return resolve(outputDir, path)
}

/** Puts the output into the folder, and answers where. May be done again. */
export async function placeOutputFiles(
  spec: AttemptSpec,
  folder: string,
  output: AttemptOutput,
): Promise<Record<StreamName, string>> {
  await makeFolder(folder)
  const placed = { stdout: '', stderr: '' }
  for (const stream of STREAMS) {
    const target = join(folder, outputFileName(spec, stream))
    await rm(target, { force: true })
    await output.placeAt(stream, target)
    placed[stream] = target
  }
  return placed
}
