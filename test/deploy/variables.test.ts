import assert from 'node:assert/strict'
import { readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import test from 'node:test'
import { parse } from 'yaml'

const root = join(import.meta.dirname, '../..')
const file = join(root, 'deploy/compose.runner.yaml')

test("the runner's compose file passes on each variable of its environment, also by its old name", () => {
  const [, table] = /\n## Environment\n([\s\S]*?)\n## /.exec(
    readFileSync(join(root, 'docs/runners.md'), 'utf8'),
  )!
  const rows = table!.split('\n').filter((line) => /^\| `[A-Z]/.test(line))
  const names = rows.flatMap(
    (line) =>
      line
        .split('|')
        .slice(1, 3)
        .join(' ')
        .match(/[A-Z][A-Z_]+/g) ?? [],
  )
  assert.ok(names.includes('ADOS_RUNNER_ID') && names.includes('OPENAI_API_KEY'))
  const { environment } = parse(readFileSync(file, 'utf8')).services.runner
  // The workspace is part of the image. The address of the hub is required, and the message mentions the old name.
  const others = [
    'WORKSPACE_DIR',
    'ERRAND_HUB_URL',
    'ADOS_API_URL',
    'ORCHESTRATOR_URL',
    'WORKER_TOKEN',
    'WORKER_ID',
  ]
  for (const name of names.filter((each) => !others.includes(each)))
    assert.equal(environment[name], null, name)
  assert.match(environment.ERRAND_HUB_URL, /^\$\{ERRAND_HUB_URL:\?.*ADOS_API_URL\}$/)
})

test('only three compose files mount the Docker socket, and each of them warns about it', () => {
  const folder = join(root, 'deploy')
  const files = readdirSync(folder).filter((name) => /^compose.*\.yaml$/.test(name))
  const text = (name: string) => readFileSync(join(folder, name), 'utf8')
  const mounting = files.filter((name) =>
    Object.values<{ volumes?: string[] }>(parse(text(name)).services).some(({ volumes = [] }) =>
      volumes.some((each) => each.includes('docker.sock')),
    ),
  )
  assert.deepEqual(mounting, ['compose.bots.yaml', 'compose.docker.yaml', 'compose.runner-docker.yaml'])
  for (const name of mounting) assert.match(text(name), /[Ww]hoever reaches .*socket is root/, name)
})
