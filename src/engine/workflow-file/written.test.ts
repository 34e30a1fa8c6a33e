import assert from 'node:assert/strict'
import { globSync, readFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { test } from 'node:test'
import { builtinActions as catalog } from '../../contract/actions.ts'
import type { Workflow } from '../../contract/workflow.ts'
import { parseWorkflow } from './check.ts'
import { sealedEnv } from './sealed-env.ts'
import { writtenWorkflow } from './written.ts'

function read(yaml: string, folder = '.'): Workflow {
  const readFile = (path: string) => readFileSync(join(folder, path), 'utf8')
  const { workflow, problems } = parseWorkflow(yaml, { catalog, readFile })
  assert.ok(workflow, JSON.stringify(problems))
  return workflow
}

test('each example reads the same after it is written again', () => {
  const files = globSync('examples/*.yaml', { cwd: join(import.meta.dirname, '../../..') })
  assert.ok(files.length > 8)
  for (const file of files) {
    const path = join(import.meta.dirname, '../../..', file)
    const workflow = read(readFileSync(path, 'utf8'), dirname(path))
    const { yaml, left_out } = writtenWorkflow(workflow, catalog)
    const again = read(yaml)
    assert.deepEqual(dropFile(again), dropFile(workflow), `${file}\n${yaml}`)
    assert.deepEqual(left_out, [])
  }
})

/** The name of a sub-workflow's file is not stored: its text replaces it. */
const dropFile = (workflow: Workflow): unknown =>
  JSON.parse(JSON.stringify(workflow), (key, value) => (key === 'file' ? undefined : value))

test('writes only what differs from the defaults', () => {
  const text = `version: v0.1
name: w
inputs:
  region:
    default: eu
    enum:
      - eu
      - us
steps:
  - name: a
    action: cmd.run
    args:
      cmd: echo \${region}
    retry:
      max_attempts: 3
  - name: b
    action: noop
    continue_on_error: true
`
  assert.equal(writtenWorkflow(read(text), catalog).yaml, text)
})

test('writes a checkout as it was requested', () => {
  const text = `version: v0.1
name: w
workspace:
  repo: https://git.example/a
steps:
  - name: a
    action: cmd.run
    args:
      cmd: make
`
  assert.equal(writtenWorkflow(read(text), catalog).yaml, text)
  const graph = text.replace('make\n', 'make\n  - name: b\n    action: noop\n    needs:\n      - a\n')
  assert.equal(writtenWorkflow(read(graph), catalog).yaml, graph)
})

test('credentials taken out of env come back empty, with their names', () => {
  const text = `version: v0.1
name: w
env:
  API_TOKEN: of all steps
steps:
  - name: a
    action: cmd.run
    args: {cmd: make}
    env: {DB_PASSWORD: of one}
  - name: b
    action: cmd.run
    args: {cmd: make}
`
  const { workflow } = sealedEnv(read(text), new Set(), catalog)
  const { yaml, left_out } = writtenWorkflow(workflow, catalog)
  assert.doesNotMatch(yaml, /of all|of one|ERRAND_ENV/)
  assert.deepEqual(left_out.sort(), ['API_TOKEN', 'DB_PASSWORD'])
  const again = read(yaml)
  assert.deepEqual(again.env, { API_TOKEN: '' })
  assert.deepEqual(
    again.steps.map(({ env, secrets }) => [env, secrets]),
    [
      [{ DB_PASSWORD: '' }, undefined],
      [undefined, undefined],
    ],
  )
})
