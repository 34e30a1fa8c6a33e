import assert from 'node:assert/strict'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { test } from 'node:test'
import type { ImageInfo } from '../docker/docker-engine.ts'
import type { BotServices } from './bot-services.ts'
import { BotSweeps } from './bot-sweeps.ts'
import { dockerName } from './docker-here.ts'

test('a failed part of the sweep is reported, and the others still run', async (t) => {
  const stateDir = mkdtempSync(join(tmpdir(), 'errand-sweeps-'))
  t.after(() => rmSync(stateDir, { recursive: true }))
  const runner = dockerName(stateDir)
  const image = { id: 'sha256:a', labels: {}, names: [], digests: [], sizeBytes: 1, createdAt: '2020-01-01' }
  const removed: string[] = []
  const fails = (what: string) => () => Promise.reject(new Error(what))
  const engine = {
    containers: fails('no containers'),
    volumes: fails('no volumes'),
    sweepNetworks: fails('no iptables'),
    images: async (): Promise<ImageInfo[]> => [image],
    removeImage: async (id: string) => removed.push(id) > 0,
  }
  const uses = { all: () => ({}), forget: () => undefined }
  const options = { stateDir, env: {} }
  const services = { options, runner, uses, engine: async () => engine } as unknown as BotServices
  const lines: string[] = []
  const sweeps = new BotSweeps({ services, holds: () => true, log: (line) => void lines.push(line) })
  await sweeps.sweep()
  await sweeps.close()
  assert.deepEqual(removed, [image.id])
  for (const what of ['no containers', 'no volumes', 'no iptables'])
    assert.ok(
      lines.some((line) => line.endsWith(`: ${what}`)),
      what,
    )
})
