import assert from 'node:assert/strict'
import { readdirSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import test from 'node:test'
import { errandCommand, type Finished } from '../support/errand-command.ts'
import { sandboxMissing } from '../support/runner/box-fixture.ts'

const folder = join(import.meta.dirname, '../../examples')

/** The output and the exit code of each example, however it is run. */
const expected: Record<string, { code?: number; args?: string[]; lines: (string | RegExp)[] }> = {
  'approval.yaml': {
    args: ['--approve', 'ask'],
    lines: ['local | built', /^ask: approved/m, 'local | deployed'],
  },
  'finally.yaml': {
    code: 1,
    lines: ['local | working', / failed on local: exit code 3/, 'local | cleaned up'],
  },
  'graph.yaml': { lines: [/local \| linted/, /local \| tested/, 'local | packaged'] },
  'hello.yaml': { args: ['--var', 'WHO=Anna'], lines: ['local | hello, Anna'] },
  'hosts.yaml': { lines: ['one | I am one', 'two | I am two', 'two | the other host said abc'] },
  'matrix.yaml': {
    lines: [
      /\| building on debian with Node 22/,
      /\| building on alpine with Node 24/,
      /\| publishing to us/,
    ],
  },
  'retry.yaml': { lines: ['local ! not this time', /retrying in/, 'local | worked on try 2'] },
  'rollback.yaml': { code: 1, lines: ['local | deployment removed', 'local | database dropped'] },
  'sandbox.yaml': {
    lines: [/local \| built by \d+, of \d+ processes/, 'local | no engine', 'local | no way out'],
  },
  'sub-workflow.yaml': { lines: ['  ask: local | good day, Anna', 'local | it said: good day, Anna'] },
  'sub-workflow-greeting.yaml': { lines: ['local | good day, you', 'GREETING=good day, you'] },
  'variables.yaml': { lines: [/\d+ entries in the root folder/, /- few skipped: condition/] },
}

function check(name: string, { code, stdout, stderr }: Finished): void {
  const all = `${stdout}\n${stderr}`
  assert.equal(code, expected[name]!.code ?? 0, all)
  for (const line of expected[name]!.lines) {
    if (typeof line === 'string') assert.ok(stdout.split('\n').includes(line), `"${line}" is not in:\n${all}`)
    else assert.match(stdout, line)
  }
}

test('every example has its expectations here', () => {
  assert.deepEqual(
    readdirSync(folder)
      .filter((name) => name.endsWith('.yaml'))
      .sort(),
    Object.keys(expected).sort(),
  )
})

const missing = sandboxMissing()
/** Examples that this machine can run. */
const possible = Object.entries(expected).filter(([name]) => name !== 'sandbox.yaml' || !missing)

for (const [name, { args = [] }] of Object.entries(expected)) {
  test(`examples/${name} does what it says on this machine`, {
    skip: name === 'sandbox.yaml' && missing,
  }, async (t) => {
    check(name, await errandCommand(t).run(['run', join(folder, name), ...args]))
  })
}

test('every example does the same through a hub and its runner', async (t) => {
  const errand = errandCommand(t)
  const env = { ERRAND_DATA: join(errand.home, 'data') }
  await errand.start(['up', '--port', '0'], { env }).until(/Connected to the hub/)
  for (const [name, { args = [] }] of possible) {
    check(name, await errand.run(['run', '--hub', join(folder, name), ...args], { env }))
  }
})

test('examples/hosts.yaml does the same on agent servers', async (t) => {
  const errand = errandCommand(t)
  let text = readFileSync(join(folder, 'hosts.yaml'), 'utf8')
  for (const port of ['7072', '7073']) {
    const data = join(errand.home, `agent-${port}`)
    const agent = errand.start(['agent-server', '--addr', ':0', '--token', 'T', '--data', data])
    await agent.until(/Agent server on http/)
    text = text.replace(`http://127.0.0.1:${port}`, /http:\/\/\S+?:\d+/.exec(agent.printed.stdout)![0])
  }
  const file = join(errand.home, 'hosts.yaml')
  writeFileSync(file, text)
  check('hosts.yaml', await errand.run(['dispatch', '--token', 'T', file]))
})
