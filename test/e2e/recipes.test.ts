import assert from 'node:assert/strict'
import { spawnSync } from 'node:child_process'
import {
  cpSync,
  existsSync,
  mkdtempSync,
  readFileSync,
  realpathSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import test, { type TestContext } from 'node:test'
import { errandCommand, eventually } from '../support/errand-command.ts'

const root = join(import.meta.dirname, '../..')
const recipes = readFileSync(join(root, 'CONTRIBUTING.md'), 'utf8')

/** Copies the source. In the copy, only the files that a recipe names may change. */
function copyOfSource(t: TestContext) {
  const folder = realpathSync(mkdtempSync(join(tmpdir(), 'errand-recipe-')))
  t.after(() => rmSync(folder, { recursive: true }))
  for (const name of ['src', 'bin', 'docs/schema', 'package.json', 'tsconfig.json'])
    cpSync(join(root, name), join(folder, name), { recursive: true })
  symlinkSync(join(root, 'node_modules'), join(folder, 'node_modules'))

  const follow = (title: string) => {
    const steps = new RegExp(`^### ${title}\n([\\s\\S]*?)\n\n`, 'm').exec(recipes)?.[1]
    assert.ok(steps, `CONTRIBUTING.md has no recipe "${title}"`)
    const named = (path: string) => {
      assert.ok(
        steps.includes(`\`${path}\``) || steps.includes(`\`${path.replace(/[\w-]+\.ts$/, 'NAME.ts')}\``),
        `the recipe does not name ${path}`,
      )
      return join(folder, path)
    }
    return {
      /** Inserts lines before the first occurrence of this text. */
      add(path: string, before: string, lines: string) {
        const text = readFileSync(named(path), 'utf8')
        assert.ok(text.includes(before), `${path} has no "${before}"`)
        writeFileSync(
          join(folder, path),
          text.replace(before, () => lines + before),
        )
      },
      write: (path: string, text: string) => writeFileSync(named(path), text),
    }
  }
  const types = () => {
    const tsc = join(root, 'node_modules/typescript/bin/tsc')
    writeFileSync(
      join(folder, 'tsconfig.json'),
      JSON.stringify({
        extends: join(root, 'tsconfig.json'),
        include: ['src/actions/registry.ts', 'src/hub/api/app.ts'],
      }),
    )
    const { stdout } = spawnSync(process.execPath, [tsc, '-p', folder], { cwd: folder, encoding: 'utf8' })
    return stdout.trim()
  }
  return { folder, follow, types }
}

test('everything that the recipes name exists', () => {
  const [, text] = /^## Recipes$([\s\S]*?)^## /m.exec(recipes)!
  const named = [...text!.matchAll(/`((?:src|docs|test)\/[\w./-]+)`/g)].map(([, path]) => path!)
  assert.ok(named.length > 10)
  assert.deepEqual(
    named.filter((path) => !path.includes('NAME') && !existsSync(join(root, path))),
    [],
  )
})

test('an endpoint and an action added as the recipes say exist, and are in the files that the recipes name', async (t) => {
  const { folder, follow, types } = copyOfSource(t)

  const endpoint = follow('Adding an endpoint')
  endpoint.add(
    'src/contract/routes/runs.ts',
    "  'GET /api/runs/:id/workflow': {",
    `  'GET /api/runs/:id/steps': {
    who: 'user',
    tag,
    summary: 'The names of the steps of a run',
    params,
    query: z.strictObject({ action: z.string().optional() }),
    answers: { 200: z.object({ steps: z.array(z.string()) }) },
  },
`,
  )
  assert.match(types(), /GET \/api\/runs\/:id\/steps/, 'a route without a handler is a type error')
  endpoint.add(
    'src/hub/api/runs.ts',
    "    'GET /api/runs/:id/workflow':",
    `    'GET /api/runs/:id/steps': async ({ identity, params, query }) => {
      await visibleRun(engine, identity, params.id)
      const { steps } = await engine.view(params.id)
      const found = steps.filter(({ action }) => (query.action ?? action) === action)
      return { steps: found.map(({ step }) => step) }
    },
`,
  )

  const action = follow('Adding an action')
  action.add(
    'src/contract/actions.ts',
    'export const NoopArgs',
    'export const TextReverseArgs = z.strictObject({ text: Filled })\n',
  )
  action.add(
    'src/contract/actions.ts',
    '  noop: {',
    "  'text.reverse': { args: TextReverseArgs, raw: [], place: 'host' },\n",
  )
  action.write(
    'src/actions/text-reverse.ts',
    `import { TextReverseArgs } from '../contract/actions.ts'
import type { Action } from '../runner/ports.ts'
import { parseArguments } from './arguments.ts'

export const textReverse: Action = {
  kind: 'inline',
  async run(spec, { write }) {
    const { text } = parseArguments(TextReverseArgs, spec)
    await write('stdout', [...text].reverse().join(''))
    return {}
  },
}
`,
  )
  action.add('src/actions/registry.ts', 'export const', "import { textReverse } from './text-reverse.ts'\n\n")
  action.add('src/actions/registry.ts', '  noop,', "  'text.reverse': textReverse,\n")
  assert.equal(types(), '')

  const errand = errandCommand(t)
  assert.ok(!existsSync(join(folder, 'dist')), 'the copy runs from its source')
  const within = ['/bin/sh', '-c', `exec '${folder}/bin/errand' "$@"`]
  const env = { ERRAND_DATA: join(errand.home, 'data') }
  const file = join(errand.home, 'flow.yaml')
  writeFileSync(
    file,
    `version: v0.1
name: flow
steps:
  - {name: turn, action: text.reverse, args: {text: "olleh"}}
  - {name: nothing, action: noop}
`,
  )
  const here = await errand.run(['run', file], { env, within })
  assert.deepEqual([here.code, here.stdout.includes('hello')], [0, true], here.stderr)

  const up = errand.start(['up', '--port', '0'], { env, within })
  await up.until('Connected to the hub')
  const url = /http:\/\/\S+/.exec(up.printed.stdout)![0]
  const password = /password (\S+)/.exec(up.printed.stdout)![1]!
  const call = async (path: string, token?: string, body?: object) => {
    const response = await fetch(url + path, {
      method: body === undefined ? 'GET' : 'POST',
      headers: {
        'content-type': 'application/json',
        ...(token === undefined ? {} : { authorization: `Bearer ${token}` }),
      },
      body: body && JSON.stringify(body),
    })
    // biome-ignore lint/suspicious/noExplicitAny: a test reads what it asks for
    return { status: response.status, json: JSON.parse(await response.text()) as any }
  }
  const { token } = (await call('/api/auth/login', undefined, { username: 'admin', password })).json
  const { run_id } = (await call('/api/runs', token, { yaml: readFileSync(file, 'utf8') })).json
  await eventually(
    'the end of the run',
    async () => (await call(`/api/runs/${run_id}`, token)).json.status === 'success',
  )
  const output = await fetch(`${url}/api/runs/${run_id}/attempts/1/output/stdout?access_token=${token}`)
  assert.equal(await output.text(), 'hello')

  const path = `/api/runs/${run_id}/steps`
  assert.deepEqual((await call(path, token)).json, { steps: ['turn', 'nothing'] })
  assert.deepEqual((await call(`${path}?action=noop`, token)).json, { steps: ['nothing'] })
  assert.equal((await call(path)).status, 401)
  assert.equal((await call(`${path}?no=such`, token)).status, 400)
  const document = (await call('/api/openapi.json')).json
  assert.equal(document.paths['/api/runs/{id}/steps'].get.summary, 'The names of the steps of a run')
})
