import assert from 'node:assert/strict'
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, describe, it } from 'node:test'
import type { SessionRequest } from '../agent.ts'
import { codexLaunch } from './codex.ts'

const folder = mkdtempSync(join(tmpdir(), 'errand-codex-'))
after(() => rmSync(folder, { recursive: true }))

const request = (env: Record<string, string>, change: Partial<SessionRequest> = {}): SessionRequest => ({
  cwd: '/srv/project',
  home: '/srv/session',
  extra_args: [],
  ask: 'allow',
  new_session_id: 'd5c7b4fe-6e9a-4f0c-9a3e-3f2f0d1c5a77',
  env: { HOME: folder, ...env },
  ...change,
})

describe('how codex is launched', () => {
  it('passes the name of the key and the address, never the key itself', () => {
    const { args, env, files } = codexLaunch(
      request({ CODEX_API_KEY: 'sk-secret', OPENAI_BASE_URL: 'http://models.test/v1/' }),
    )
    assert.ok(args.includes('model_providers.errand.base_url="http://models.test/v1"'))
    assert.ok(args.includes('model_providers.errand.env_key="CODEX_API_KEY"'))
    assert.doesNotMatch(JSON.stringify([args, env, files]), /sk-secret/)
  })

  it('uses a folder of its session if it has a key', () => {
    const { env, files } = codexLaunch(request({ OPENAI_API_KEY: 'k' }))
    assert.deepEqual(env, { CODEX_HOME: '/srv/session/codex' })
    assert.ok(files?.every(({ path }) => path.startsWith('/srv/session/')))
  })

  it('without a key or a login, refuses and names what is missing', () => {
    assert.throws(() => codexLaunch(request({})), { code: 'invalid_argument', hint: /OPENAI_API_KEY/ })
  })

  it('does not replace the folder of a user who is logged in', () => {
    mkdirSync(join(folder, '.codex'))
    writeFileSync(join(folder, '.codex', 'auth.json'), '{}')
    const { args, env, files } = codexLaunch(request({}))
    assert.deepEqual([env, files], [{}, []])
    assert.doesNotMatch(args.join(' '), /model_provider/)
  })

  it("runs no hooks when tools need permission, and adds the caller's arguments at the end", () => {
    const settings = { extra_args: ['-c', 'model_reasoning_effort="high"'] }
    const { args } = codexLaunch(request({ OPENAI_API_KEY: 'k' }, { ask: 'ask', ...settings }))
    assert.match(args.join(' '), /--disable hooks -c projects={"\/srv\/project"={trust_level="untrusted"}}/)
    assert.deepEqual(args.slice(-2), settings.extra_args)
    assert.doesNotMatch(codexLaunch(request({ OPENAI_API_KEY: 'k' })).args.join(' '), /hooks|trust_level/)
  })
})
