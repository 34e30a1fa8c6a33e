import { splitAttemptId } from './ids.ts'

/** Returns a name that every file system takes; short enough that a name of three of them stays under 255 bytes. */
const safe = (name: string): string => name.replace(/[^A-Za-z0-9._-]/g, '_').slice(0, 70)

/** Name of the file in `output_path` that a person finds one stream of an attempt in. */
export function outputFileName(
  spec: { attempt_id: string; run_id: string; step: string; host: string },
  stream: string,
): string {
  const { number } = splitAttemptId(spec.attempt_id)
  return `${safe(spec.run_id)}.${safe(spec.step)}.${safe(spec.host)}.${number}.${stream}.log`
}
