import { mkdirSync, mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { TestContext } from 'node:test'
import type { ImageOrder, PreparedImage } from '../../../src/runner/bots/images/image-order.ts'
import { prepareImage } from '../../../src/runner/bots/images/prepare-image.ts'
import type { DockerEngine } from '../../../src/runner/docker/docker-engine.ts'
import { dockerFor, type TestDocker } from './docker.ts'
import { dockerUnderTest } from './docker-under-test.ts'

export interface ImagesUnderTest {
  engine: DockerEngine
  docker: TestDocker
  stateDir: string
  /** The lines that were reported so far. */
  lines: string[]
  phases: string[]
  /** Runs a container of the image until it ends, and returns what it printed. */
  run(image: string): Promise<string>
  prepare(
    source: ImageOrder['source'],
    order?: Partial<ImageOrder> & { owner?: string },
  ): Promise<PreparedImage>
}

/**
 * Gives `prepareImage` on a real engine, with its own runner name. Stand-ins for base images may be used without a
 * pull.
 */
export async function imagesUnderTest(
  t: TestContext,
  env: Readonly<Record<string, string>> = {},
): Promise<ImagesUnderTest> {
  const { engine, runner } = await dockerUnderTest(t)
  await engine.prepareNetwork()
  const docker = dockerFor(t)
  const dir = mkdtempSync(join(tmpdir(), 'errand-images-'))
  t.after(() => rmSync(dir, { recursive: true }))
  const stateDir = join(dir, 'state')
  const lines: string[] = []
  const phases: string[] = []
  let count = 0
  return {
    engine,
    docker,
    stateDir,
    lines,
    phases,
    async run(image) {
      const container = await docker.engine.createContainer({
        Image: image,
        Labels: docker.labels,
        Tty: true,
      })
      await container.start()
      await container.wait()
      return (await container.logs({ stdout: true, stderr: true })).toString().replaceAll('\r', '')
    },
    async prepare(source, { owner = 'default/ann', ...order } = {}) {
      const tempDir = join(dir, String(count++))
      mkdirSync(tempDir)
      return await prepareImage({
        source,
        engine,
        labels: { runner, owner, bot: 'my-Bot', attempt: `run_1.${count}` },
        env: { ERRAND_LOCAL_IMAGES: 'errand.test/*', ...env },
        stateDir,
        tempDir,
        secret: () => undefined,
        upload: () => Promise.reject(new Error('there is no upload')),
        buildTurn: async () => ({ [Symbol.dispose]: () => {} }),
        phase: (phase) => phases.push(phase),
        progress: (line) => lines.push(line),
        signal: new AbortController().signal,
        ...order,
      })
    },
  }
}
