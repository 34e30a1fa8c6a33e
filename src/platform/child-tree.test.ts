import assert from 'node:assert/strict'
import { type ChildProcess, spawn } from 'node:child_process'
import { randomUUID } from 'node:crypto'
import { once } from 'node:events'
import { globSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { test } from 'node:test'
import { ChildTree, endTree, spawnTree, sweepGroup } from './child-tree.ts'
import { isAlive, processStat, treeMembers } from './proc.ts'

/** Starts a shell with its own group and mark, and resolves once the shell has written a line. */
async function shell(
  script: string,
): Promise<{ child: ChildProcess; group: number; mark: string; line: string }> {
  const value = randomUUID()
  const child = spawn('/bin/sh', ['-c', script], {
    env: { ...process.env, TEST_MARK: value },
    detached: true,
    stdio: ['ignore', 'pipe', 'inherit'],
  })
  const [line] = await once(child.stdout!, 'data')
  return { child, group: child.pid!, mark: `TEST_MARK=${value}`, line: String(line).trim() }
}

const dead = (pid: number) => processStat(pid) === undefined

test('a tree ends with its children, even those in their own session', async () => {
  const { group, mark, line } = await shell(
    'setsid sleep 1000 & setsid sh -c "sleep 1000; :" & sleep 1000 & echo $!; wait',
  )
  const members = treeMembers({ group, mark }).map((each) => each.pid)
  assert.ok(members.includes(Number(line)))
  assert.ok(members.length >= 4, `found ${members.length}`)
  assert.equal(await endTree({ group, mark }, 10_000), true)
  assert.deepEqual(
    members.filter((pid) => !dead(pid)),
    [],
  )
})

test('a process that ignores SIGTERM is killed after the grace period, which can be cut short', async () => {
  const force = new AbortController()
  const { child, group, mark } = await shell('trap "" TERM; echo ready; while :; do sleep 1; done')
  const gone = endTree({ group, mark }, 600_000, force.signal)
  assert.equal(isAlive(group, processStat(group)!.start), true)
  force.abort()
  assert.equal(await gone, true)
  if (child.exitCode === null && child.signalCode === null) await once(child, 'exit')
  assert.equal(child.signalCode, 'SIGKILL')
})

test('a sweep ends what a command left in its group, and returns at once if there is nothing', async () => {
  const left = await shell('sleep 1000 & echo $!')
  if (left.child.exitCode === null) await once(left.child, 'exit')
  assert.equal(await sweepGroup(left.group, 10_000), true)
  assert.ok(dead(Number(left.line)))
  assert.equal(sweepGroup(left.group, 10_000), undefined)
})

test('a sweep leaves other processes alone', async () => {
  const left = await shell('sleep 1000 & echo $!')
  if (left.child.exitCode === null) await once(left.child, 'exit')
  assert.equal(
    sweepGroup(left.group, 0, () => false),
    undefined,
  )
  assert.equal(dead(Number(left.line)), false)
  await endTree(left, 0)
})

test('a started tree is found by its mark and ends completely', async () => {
  const { child, tree } = spawnTree<'stdout'>(
    ['/bin/sh', '-c', 'setsid sleep 1000 & echo $TEST_MARK; wait'],
    {
      env: { PATH: process.env.PATH },
      mark: 'TEST_MARK=a=b',
      stdio: ['ignore', 'pipe', 'inherit'],
    },
  )
  assert.equal(String((await once(child.stdout, 'data'))[0]).trim(), 'a=b')
  const members = treeMembers({ mark: 'TEST_MARK=a=b' })
  assert.equal(members.length, 2)
  assert.equal(await tree.stop(10_000), true)
  assert.ok(members.every(({ pid }) => dead(pid)))
})

test('a tree ends once: a second request can only speed it up, and a sweep does not run beside it', async () => {
  const { child, group, mark } = await shell('trap "" TERM; echo ready; while :; do sleep 1; done')
  let sealed = 0
  const tree = new ChildTree(mark, { seal: () => void sealed++ })
  assert.equal(tree.sweep(), undefined)
  tree.group = group
  const gone = tree.stop(600_000)
  assert.equal(tree.stop(600_000), gone)
  assert.equal(tree.sweep(), gone)
  assert.equal(sealed, 0)
  assert.equal(tree.stop(0), gone)
  assert.equal(await gone, true)
  assert.equal(sealed, 1)
  if (child.exitCode === null && child.signalCode === null) await once(child, 'exit')
  assert.equal(child.signalCode, 'SIGKILL')
})

test('an expedited tree gets no grace period', async () => {
  const { group, mark } = await shell('trap "" TERM; echo ready; while :; do sleep 1; done')
  const tree = new ChildTree(mark)
  tree.group = group
  tree.expedite()
  assert.equal(await tree.stop(600_000), true)
})

test('no other file starts a process in its own group or signals one by its number', () => {
  const root = join(import.meta.dirname, '../..')
  const files = globSync('src/**/*.ts', { cwd: root }).filter(
    (file) => !/\.test\.ts$|fixture|conformance/.test(file) && !file.startsWith('src/platform/'),
  )
  assert.ok(files.length > 100)
  assert.deepEqual(
    files.filter((file) => /\bdetached: true|\bprocess\.kill\(/.test(readFileSync(join(root, file), 'utf8'))),
    [],
  )
})
