import { rm } from 'node:fs/promises'
import { join, resolve } from 'node:path'
import { type AttemptSpec, StreamName } from '../../contract/attempt.ts'
import { outputFileName } from '../../contract/output-file-name.ts'
import { makeFolder } from '../../platform/make-folder.ts'
import type { AttemptOutput } from './measured-end.ts'

/** `args.output_path` of the step, seen from `outputDir`; undefined where it has none. */
export function outputFolder(spec: AttemptSpec, outputDir: string): string | undefined {
  const path = spec.args.output_path
  return typeof path === 'string' && path !== '' ? resolve(outputDir, path) : undefined
}

/** Puts the output into the folder, and answers where. May be done again. */
export async function placeOutputFiles(
  spec: AttemptSpec,
  folder: string,
  output: AttemptOutput,
): Promise<Record<StreamName, string>> {
  await makeFolder(folder)
  const placed = { stdout: '', stderr: '' }
  for (const stream of StreamName.options) {
    const target = join(folder, outputFileName(spec, stream))
    await rm(target, { force: true })
    await output.placeAt(stream, target)
    placed[stream] = target
  }
  return placed
}
