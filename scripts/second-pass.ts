import type { FileResult } from './test-files.ts'
import type { Work } from './test-schedule.ts'
import { surroundings } from './test-surroundings.ts'

/** Files that ask for a service only through a shared suite, and never miss it in this pass, each with the reason. */
const neverLacking: ReadonlyMap<string, string> = new Map([
  ['test/agents/builtin-program.test.ts', 'its agent comes with Errand'],
  ['src/runner/limits/cgroup-v2.test.ts', 'it starts a guest only at full size'],
])

/**
 * Returns the files of the second pass: those listed in test-surroundings.ts, in a foreign environment, and each file
 * that asks for a service, without any service.
 */
export function secondPassOf(works: readonly Work[]): Work[] {
  return works.flatMap((work): Work[] => {
    if (surroundings.has(work.file)) return [{ ...work, surroundings: 'foreign', services: [] }]
    return work.services.length > 0 && !neverLacking.has(work.file) ? [{ ...work, services: [] }] : []
  })
}

/** Fails a file that skips nothing without its service: it does not use the service, or hides what it leaves out. */
export function addSecondPassFailure(
  { file, surroundings }: Work,
  { skips, failures, stopped }: FileResult,
): void {
  if (surroundings !== undefined || skips.length > 0 || failures.length > 0 || stopped) return
  const text = 'It asks for a service of the machine, and skips no test where there is none.'
  failures.push({ title: file, text })
}
