import assert from 'node:assert/strict'
import { join } from 'node:path'
import test from 'node:test'
import { build } from 'esbuild'

const root = join(import.meta.dirname, '../../..')

/**
 * Files that `errand run` loads before the first step of a file: its command, then the files that `run.ts` imports.
 * The last one is loaded for a step with secrets.
 */
const LOADED = [
  'src/cli/startup/main-run.ts',
  'src/cli/local/conduct-local.ts',
  'src/runner/local/local-host.ts',
  'src/runner/local/child-driver.ts',
  'src/actions/registry.ts',
  'src/cli/local/local-sessions.ts',
  'src/stores/secrets/given-secrets.ts',
  'src/cli/local/local-run-registry.ts',
  'src/runner/secrets/machine-secrets.ts',
]

test('errand run with a file loads neither full zod nor the code for hubs and agents', async () => {
  const { metafile } = await build({
    absWorkingDir: root,
    entryPoints: LOADED,
    outdir: join(root, 'dist'),
    bundle: true,
    write: false,
    metafile: true,
    platform: 'node',
    packages: 'bundle',
    external: ['fastify', '@fastify/*', 'ws'],
    logLevel: 'silent',
    splitting: true,
    format: 'esm',
  })
  /** Maps each file to the file that imports it. */
  const by = new Map(LOADED.map((path) => [path, '']))
  for (const path of by.keys())
    for (const { kind, path: imported } of metafile.inputs[path]?.imports ?? [])
      if (kind === 'import-statement' && !by.has(imported)) by.set(imported, path)
  assert.ok(by.has('src/engine/engine.ts') && by.has('src/contract/mini-zod.ts'))
  const heavy = [
    /node_modules\/zod\/v4\/classic\//,
    /^src\/contract\/(agent|events|protocol)\.ts/,
    /^src\/client\//,
    /^src\/agents\//,
  ]
  const found = [...by.keys()].filter((path) => heavy.some((pattern) => pattern.test(path)))
  const ways = found.map((path) => `${path}, of ${by.get(path)}`)
  assert.deepEqual(ways, [])
})
