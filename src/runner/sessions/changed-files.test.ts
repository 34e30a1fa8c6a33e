import assert from 'node:assert/strict'
import { execFileSync } from 'node:child_process'
import { existsSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, test } from 'node:test'
import { Baseline } from './changed-files.ts'

const folder = mkdtempSync(join(tmpdir(), 'errand-test-'))
after(() => rmSync(folder, { recursive: true, force: true }))

function workingFolder(name: string): string {
  const path = join(folder, name)
  mkdirSync(path)
  return path
}

test('the state of a repository before the run survives a restart, and only later changes are listed', async () => {
  const cwd = workingFolder('repository')
  execFileSync('git', ['init', '-q'], { cwd })
  writeFileSync(join(cwd, 'before'), 'there already')
  const file = join(folder, 'repository-before')
  await new Baseline(file, process.env).take(cwd)
  writeFileSync(join(cwd, 'new'), 'made by the agent')
  const later = new Baseline(file, process.env)
  await later.recover(cwd)
  await later.take(cwd)
  assert.deepEqual(await later.changed([]), ['new'])
})

test("without a repository nothing is stored, and after a restart only the agent's own list counts", async () => {
  const cwd = workingFolder('plain')
  const file = join(folder, 'plain-before')
  await new Baseline(file, process.env).take(cwd)
  assert.equal(existsSync(file), false)
  execFileSync('git', ['init', '-q'], { cwd })
  writeFileSync(join(cwd, 'untold'), '')
  const later = new Baseline(file, process.env)
  await later.recover(cwd)
  await later.take(cwd)
  assert.deepEqual(await later.changed([join(cwd, 'told')]), ['told'])
})
