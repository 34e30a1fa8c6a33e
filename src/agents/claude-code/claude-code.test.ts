import assert from 'node:assert/strict'
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, describe, it } from 'node:test'
import type { SessionRequest } from '../agent.ts'
import { claudeLaunch } from './claude-code.ts'

const folder = mkdtempSync(join(tmpdir(), 'errand-claude-'))
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
const withKey = (change?: Partial<SessionRequest>) =>
  claudeLaunch(request({ ANTHROPIC_API_KEY: 'k' }, change))

describe('how Claude Code is launched', () => {
  it('starts a session with the given id, or resumes one', () => {
    assert.match(withKey().args.join(' '), /--session-id d5c7b4fe-/)
    const { args } = withKey({ session_id: 'earlier', model: 'opus', max_turns: 3 })
    assert.match(args.join(' '), /--model opus --max-turns 3 --resume earlier$/)
  })

  it('uses a folder of its session if it has a key of any kind', () => {
    for (const key of ['ANTHROPIC_API_KEY', 'CLAUDE_CODE_OAUTH_TOKEN', 'CLAUDE_CODE_USE_BEDROCK']) {
      const { env } = claudeLaunch(request({ [key]: '1' }))
      assert.equal(env.CLAUDE_CONFIG_DIR, '/srv/session/claude')
    }
  })

  it('without a key or a login, refuses and names what is missing', {
    skip: process.platform === 'darwin',
  }, () => {
    assert.throws(() => claudeLaunch(request({})), { code: 'invalid_argument', hint: /ANTHROPIC_API_KEY/ })
  })

  it('does not replace the folder of a user who is logged in', () => {
    mkdirSync(join(folder, '.claude'))
    writeFileSync(join(folder, '.claude', '.credentials.json'), '{}')
    assert.equal(claudeLaunch(request({})).env.CLAUDE_CONFIG_DIR, undefined)
  })

  it('refuses arguments that would answer its questions', () => {
    for (const wrong of [
      '--settings',
      '--permission-mode=plan',
      '--allowedTools',
      '--dangerously-skip-permissions',
    ]) {
      for (const ask of ['ask', 'deny'] as const)
        assert.throws(() => withKey({ ask, extra_args: [wrong] }), { code: 'invalid_argument' })
      assert.ok(withKey({ extra_args: [wrong] }).args.includes(wrong))
    }
  })

  it('takes only instructions from the project when tools need permission', () => {
    const cwd = join(folder, 'project')
    mkdirSync(cwd)
    const begins = (ask: SessionRequest['ask']) => withKey({ ask, cwd }).args.join(' ')
    for (const ask of ['ask', 'deny'] as const) {
      assert.match(begins(ask), /--setting-sources user --strict-mcp-config/)
      assert.doesNotMatch(begins(ask), /--append-system-prompt-file/)
    }
    writeFileSync(join(cwd, 'CLAUDE.md'), 'Use tabs.')
    assert.ok(begins('deny').includes(`--append-system-prompt-file ${cwd}/CLAUDE.md`))
    assert.doesNotMatch(begins('allow'), /--setting-sources|--strict-mcp-config|CLAUDE\.md/)
  })

  it('says that it runs in a sandbox only if everything is allowed', () => {
    assert.equal(withKey({ ask: 'ask' }).env.IS_SANDBOX, undefined)
    assert.equal(withKey().env.IS_SANDBOX, process.getuid?.() === 0 ? '1' : undefined)
  })
})
