import type { Readable } from 'node:stream'
import { pack } from 'tar-stream'
import type { BuildOrder } from '../../../src/runner/docker/docker-engine.ts'

/** Returns a tar of the files, given by path. */
export function buildContext(files: Readonly<Record<string, string>>): Readable {
  const tar = pack()
  for (const [name, text] of Object.entries(files)) tar.entry({ name }, text)
  tar.finalize()
  return tar as unknown as Readable
}

/** Returns a build of the files for a runner under test, named `errand.test/<runner>:built`. */
export const testingBuild = (
  runner: string,
  files: Readonly<Record<string, string>>,
  part: Partial<BuildOrder> = {},
): BuildOrder => ({
  context: async () => buildContext(files),
  dockerfile: 'Dockerfile',
  args: {},
  name: `errand.test/${runner}:built`,
  labels: { runner },
  limits: { memoryBytes: 64 * 1024 ** 2, cpus: 1, processes: 50, diskBytes: 1024 ** 3 },
  progress: () => {},
  signal: new AbortController().signal,
  ...part,
})
