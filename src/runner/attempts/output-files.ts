import { copyFile, link, mkdir, rm } from 'node:fs/promises'
import { join, resolve } from 'node:path'
import { type AttemptSpec, StreamName } from '../../contract/attempt.ts'
import { splitAttemptId } from '../../contract/ids.ts'

const safe = (name: string) => name.replace(/[^A-Za-z0-9._-]/g, '_').slice(0, 80)

/** `args.output_path` of the step, whole; undefined where it has none. */
export function outputFolder(spec: AttemptSpec): string | undefined {
  const path = spec.args.output_path
  return typeof path === 'string' && path !== '' ? resolve(path) : undefined
}

/** Name of the file that a person finds one stream of an attempt in. */
export function outputFileName(spec: AttemptSpec, stream: StreamName): string {
  const { number } = splitAttemptId(spec.attempt_id)
  return `${safe(spec.run_id)}.${safe(spec.step)}.${safe(spec.host)}.${number}.${stream}.log`
}

/** Puts the streams' files into the folder, and answers where. May be done again. */
export async function placeOutputFiles(
  spec: AttemptSpec,
  folder: string,
  files: Readonly<Record<StreamName, string>>,
): Promise<Record<StreamName, string>> {
  await mkdir(folder, { recursive: true })
  const placed = { stdout: '', stderr: '' }
  for (const stream of StreamName.options) {
    const target = join(folder, outputFileName(spec, stream))
    await rm(target, { force: true })
    await link(files[stream], target).catch(() => copyFile(files[stream], target))
    placed[stream] = target
  }
  return placed
}
