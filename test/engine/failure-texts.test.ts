import assert from 'node:assert/strict'
import { once } from 'node:events'
import { mkdtempSync, rmSync } from 'node:fs'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { type TestContext, test } from 'node:test'
import { builtinActionRegistry } from '../../src/actions/registry.ts'
import { RunDisplay } from '../../src/cli/render/run-display.ts'
import { Engine } from '../../src/engine/engine.ts'
import { LocalHost } from '../../src/runner/local/local-host.ts'
import { BoundedOutputStore } from '../../src/stores/outputs/bounded.ts'
import { MemoryRunStore } from '../../src/stores/runs/memory.ts'

/** Makes an engine that runs steps on this machine. */
function machine(t: TestContext) {
  const folder = mkdtempSync(join(tmpdir(), 'errand-texts-'))
  const store = new MemoryRunStore()
  const host = new LocalHost({ registry: builtinActionRegistry, cwd: folder, graceMs: 100 })
  const outputs = new BoundedOutputStore({ spillDir: join(folder, 'output') })
  const engine = new Engine({ store, host, outputs })
  t.after(async () => {
    for (const part of [engine, host, outputs, store]) await part.close()
    rmSync(folder, { recursive: true, force: true })
  })
  /** Returns the texts that a person reads about an ended run, and all messages of its events. */
  const texts = async (runId: string): Promise<string[]> => {
    const { status, message } = await engine.done(runId)
    assert.notEqual(status, 'success')
    const display = new RunDisplay({
      tty: false,
      color: false,
      maxBytes: () => 1000,
      wholeOutput: () => '',
      allRows: '--verbose',
    })
    const events = await store.events(runId, 0, 100_000)
    const shown = events
      .map((event) => display.add(event))
      .join('')
      .split('\n')
    return [...shown, ...events.flatMap(messagesIn), ...(message === undefined ? [] : [message])]
  }
  return { engine, texts }
}

/** Returns every `message`, `comment` and `why` in a value. */
function messagesIn(value: unknown): string[] {
  if (typeof value !== 'object' || value === null) return []
  return Object.entries(value).flatMap(([key, inner]) =>
    typeof inner === 'string'
      ? ['message', 'comment', 'why'].includes(key)
        ? [inner]
        : []
      : messagesIn(inner),
  )
}

/** Matches faults in texts for people: a sentence's end inside another, a repeated prefix, a library's own words. */
const bad: readonly RegExp[] = [
  /\.\.(?!\.)(?<!\.\.\.)/,
  /[.!?] ?[,;:]/,
  /[:;,] ?[.;]/,
  /\b([\w ]{3,}): \1\b/i,
  /("[^"]{4,}").*\1/,
  /Invalid (input|option|type)|Unrecognized key|Too (small|big)|expected (string|number|boolean|record|array)/,
  /undefined|\[object|NaN/,
  /✖|→ at /,
  /\bStep ".*\bStep "/,
  /[a-z0-9"] (Write|Check|Set|Give|Correct|Put|Did|Send) /,
]

const failing: Record<string, string> = {
  'exit code': '{name: a, action: cmd.run, args: {cmd: exit 3}}',
  'killed by a signal': '{name: a, action: cmd.run, args: {cmd: kill -9 $$}}',
  'command not found': '{name: a, action: cmd.run, args: {cmd: no-such-command-here}}',
  'no interpreter': '{name: a, action: shell.run, args: {script: "#!/no/such/program\\nx"}}',
  'empty interpreter': '{name: a, action: shell.run, args: {script: "#!\\nx"}}',
  'time is up': '{name: a, action: cmd.run, args: {cmd: sleep 60}, timeout_seconds: 0.2}',
  'time is up, tried again':
    '{name: a, action: cmd.run, args: {cmd: sleep 60}, timeout_seconds: 0.2, retry: {max_attempts: 2, backoff: {delay_seconds: 0.1}}}',
  'fails, tried again':
    '{name: a, action: cmd.run, args: {cmd: exit 4}, retry: {max_attempts: 2, backoff: {delay_seconds: 0.1}}}',
  'no such folder': '{name: a, action: cmd.run, args: {cmd: pwd, cwd: /no/such/folder}}',
  'unset variable': '{name: a, action: cmd.run, env: {A: "${NOT_SET}"}, args: {cmd: echo $A}}',
  'unset in args': '{name: a, action: file.write, args: {path: "${NOT_SET}", content: x}}',
  'unset in when': '{name: a, action: noop, when: "${NOT_SET} == x"}',
  'when of no number': '{name: a, action: noop, env: {A: many}, when: "${A} > 1"}',
  'when on an item': '{name: a, action: noop, foreach: ["1", many], when: "${ITEM} > 0"}',
  'foreach of a broken list': '{name: a, action: noop, foreach: "${BROKEN}"}',
  'a target that is not there': '{name: a, action: noop, targets: ["${T}"]}',
  'missing export': '{name: a, action: cmd.run, expect_vars: [A], args: {cmd: echo x, export_vars: true}}',
  'wrong export':
    '{name: a, action: cmd.run, expect_vars: [A], args: {cmd: "echo BOPS_EXPORT:A", export_vars: true}}',
  'output of no JSON':
    '{name: a, action: cmd.run, expect_vars: [A], args: {cmd: "echo {"}, outputs: {A: {from: stdout, json: a}}}',
  'output without the path':
    '{name: a, action: cmd.run, expect_vars: [A], args: {cmd: "echo 1"}, outputs: {A: {from: stdout, json: a.b}}}',
  'output without a match':
    '{name: a, action: cmd.run, expect_vars: [A], args: {cmd: "echo 1"}, outputs: {A: {from: stdout, regex: "x"}}}',
  'a file where a folder is': '{name: a, action: file.write, args: {path: /, content: x}}',
  'a folder that cannot be': '{name: a, action: file.write, args: {path: /dev/null/x, content: x}}',
  'a mode that is none': '{name: a, action: file.write, args: {path: x, content: x, mode: "${T}"}}',
  'no URL': '{name: a, action: http.request, args: {url: "${T}"}}',
  'nobody there': '{name: a, action: http.request, args: {url: "http://127.0.0.1:1/"}}',
  'no such host': '{name: a, action: http.request, args: {url: "http://nowhere.invalid/"}}',
  'a password in a URL': '{name: a, action: http.request, args: {url: "http://u:p@127.0.0.1:1/"}}',
  'a body with GET': '{name: a, action: http.request, args: {url: "http://127.0.0.1:1/", body: x}}',
  'a wrong header':
    '{name: a, action: http.request, args: {url: "http://127.0.0.1:1/", headers: {"a b": c}}}',
  'a method that is none':
    '{name: a, action: http.request, args: {url: "http://127.0.0.1:1/", method: "${T}"}}',
  'an answer that is none expected': '{name: a, action: http.request, args: {url: "${SERVER}"}}',
  'another answer expected':
    '{name: a, action: http.request, args: {url: "${SERVER}", expect_status: [200, 201]}}',
  'a rollback that fails':
    '{name: a, action: noop, rollback: {action: cmd.run, args: {cmd: exit 2}}}, {name: b, action: cmd.run, args: {cmd: exit 1}}',
  'an approval that runs out': '{name: a, action: approval.wait, args: {timeout_seconds: 0.1}}',
  'an approval of an unset variable': '{name: a, action: approval.wait, args: {message: "${NOT_SET}"}}',
  'a sub-workflow':
    '{name: a, action: workflow.run, args: {workflow: {version: v0.1, name: x, steps: [{name: b, action: cmd.run, args: {cmd: exit 5}}]}}}',
  'a sub-workflow in another':
    '{name: a, action: workflow.run, args: {workflow: {version: v0.1, name: x, steps: [{name: b, action: workflow.run, args: {workflow: {version: v0.1, name: y, steps: [{name: c, action: cmd.run, args: {cmd: exit 5}}]}}}]}}}',
  'a sub-workflow with a wrong input':
    '{name: a, action: workflow.run, args: {inputs: {I: "${T}"}, workflow: {version: v0.1, name: x, inputs: {I: {type: number}}, steps: [{name: b, action: noop}]}}}',
  'a sub-workflow whose time is up':
    '{name: a, action: workflow.run, args: {workflow: {version: v0.1, name: x, timeout_seconds: 0.2, steps: [{name: b, action: cmd.run, args: {cmd: sleep 60}}]}}}',
  'two of three items': '{name: a, action: cmd.run, foreach: [1, 0, 2], args: {cmd: exit $ITEM}}',
  'an agent that is not there': '{name: a, action: agent.run, args: {prompt: x, agent: codex}}',
}

test('texts about failures are whole sentences in plain words, each said once', async (t) => {
  const { engine, texts } = machine(t)
  const server = createServer((_, response) => response.writeHead(404).end()).listen(0, '127.0.0.1')
  t.after(() => server.close())
  await once(server, 'listening')
  const SERVER = `http://127.0.0.1:${(server.address() as AddressInfo).port}/x`
  const wrong: string[] = []
  const read = async (what: string, runId: string): Promise<void> => {
    const all = [...new Set(await texts(runId))]
    for (const text of all)
      for (const pattern of bad)
        if (pattern.test(text.replace(/https?:\S*[^\s.,;:]/g, 'URL')))
          wrong.push(`${what}: ${text} (${pattern})`)
  }
  for (const [what, steps] of Object.entries(failing)) {
    const yaml = `version: v0.1\nname: texts\nsteps: [${steps}]\n`
    const vars = { SERVER, T: 'nowhere', BROKEN: '[a' }
    const submitted = await engine
      .submit({ yaml, vars })
      .catch((error: Error) => assert.fail(`${what}: ${JSON.stringify(error)}`))
    await read(what, submitted.run_id)
  }
  assert.deepEqual(wrong, [])
})
