import assert from 'node:assert/strict'
import { spawn } from 'node:child_process'
import { mkdirSync, mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { describe, it } from 'node:test'
import { agentsFolder, nativeIn, sharedCache } from '../../src/agents/install/native-binary.ts'
import { agentInstalls, agentRegistry } from '../../src/agents/registry.ts'
import { agentMissing } from '../support/agent-subjects.ts'
import { startModelServer, writeFileScript } from '../support/model-server/server.ts'

interface Case {
  title: string
  agent: string
  model?: string
  args(url: string, model: string): string[]
  env(url: string, home: string, model: string, path: string): Record<string, string | undefined>
  /** The prompt on standard input; otherwise it is among the arguments. */
  prompt?: string
}

const codexProvider = (url: string) =>
  `model_providers.x={name="x", base_url="${url}/v1", wire_api="responses", env_key="KEY"}`

const codex = (title: string, model: string): Case => ({
  title,
  agent: 'codex',
  model,
  args: (url) => [
    ...['exec', '--json', '-m', model, '--dangerously-bypass-approvals-and-sandbox', '--disable', 'plugins'],
    ...['--skip-git-repo-check', '-c', 'model_provider="x"', '-c', codexProvider(url), 'Write it'],
  ],
  env: (_url, home) => ({ CODEX_HOME: home, KEY: 'k' }),
})

const opencode = (title: string, npm: string): Case => ({
  title,
  agent: 'opencode',
  prompt: 'Write it',
  args: () => ['run', '--format', 'json', '--auto'],
  env: (url, _home, model) => ({
    OPENCODE_DISABLE_AUTOUPDATE: '1',
    OPENCODE_DISABLE_MODELS_FETCH: '1',
    OPENCODE_DISABLE_DEFAULT_PLUGINS: '1',
    OPENCODE_DISABLE_LSP_DOWNLOAD: '1',
    npm_config_offline: 'true',
    OPENCODE_CONFIG_CONTENT: JSON.stringify({
      provider: {
        x: { npm, options: { baseURL: `${url}/v1`, apiKey: 'k' }, models: { [model]: { name: model } } },
      },
      model: `x/${model}`,
      small_model: `x/${model}`,
      enabled_providers: ['x'],
    }),
  }),
})

const copilot = (title: string, base: string, settings: Record<string, string>): Case => ({
  title,
  agent: 'copilot',
  args: () => ['-p', 'Write it', '--allow-all-tools', '--output-format', 'json'],
  env: (url, _home, model, path) => ({
    COPILOT_OFFLINE: 'true',
    COPILOT_PROVIDER_BASE_URL: `${url}${base}`,
    COPILOT_PROVIDER_API_KEY: 'k',
    COPILOT_MODEL: model,
    COPILOT_CACHE_HOME: sharedCache(path),
    ...settings,
  }),
})

const cases: Case[] = [
  {
    title: 'Claude Code with Write',
    agent: 'claude_code',
    args: (_url, model) => [
      ...['-p', '--output-format', 'stream-json', '--verbose', '--permission-mode', 'acceptEdits'],
      ...['--model', model, 'Write it'],
    ],
    env: (url, home) => ({
      ANTHROPIC_BASE_URL: url,
      ANTHROPIC_API_KEY: 'k',
      CLAUDE_CONFIG_DIR: home,
      DISABLE_AUTOUPDATER: '1',
      CLAUDE_CODE_DISABLE_NONESSENTIAL_TRAFFIC: '1',
    }),
  },
  codex('codex with its shell', 'test-model'),
  codex('codex with apply_patch', 'gpt-5.5'),
  codex('codex with tools that are functions in a script', 'gpt-6-sol'),
  opencode('opencode over Chat Completions', '@ai-sdk/openai-compatible'),
  opencode('opencode over Anthropic Messages', '@ai-sdk/anthropic'),
  opencode('opencode over Responses', '@ai-sdk/openai'),
  copilot('copilot over Chat Completions', '/v1', {}),
  copilot('copilot over Anthropic Messages', '', { COPILOT_PROVIDER_TYPE: 'anthropic' }),
  copilot('copilot over Responses', '/v1', { COPILOT_PROVIDER_WIRE_API: 'responses' }),
]

describe('the model server makes the real program write a file:', () => {
  const folder = agentsFolder(process.env)

  for (const { title, agent, model = 'test-model', args, env, prompt } of cases) {
    const path = nativeIn(join(folder, agent), agentInstalls[agent]!)
    const skip = path === undefined && agentMissing(agentRegistry.find(({ name }) => name === agent)!)
    it(title, { skip, timeout: 120_000 }, async (context) => {
      const scratch = mkdtempSync(join(tmpdir(), 'errand-model-server-'))
      const [home, cwd] = [join(scratch, 'home'), join(scratch, 'work')]
      mkdirSync(home)
      mkdirSync(cwd)
      context.after(() => rmSync(scratch, { recursive: true, force: true, maxRetries: 5 }))
      const made = join(cwd, 'made.txt')
      const server = await startModelServer({
        script: writeFileScript(made, 'made by a tool\n', 'All is done.'),
      })
      context.after(() => server.stop())
      const child = spawn(path!, args(server.url, model), {
        cwd,
        env: { PATH: process.env.PATH, HOME: home, ...env(server.url, home, model, path!) },
        signal: context.signal,
        killSignal: 'SIGKILL',
      })
      let output = ''
      for (const stream of [child.stdout, child.stderr])
        stream.setEncoding('utf8').on('data', (text: string) => {
          output += text
        })
      child.stdin.end(prompt ?? '')
      const code = await new Promise((resolve, reject) => child.once('error', reject).once('close', resolve))
      assert.equal(code, 0, output)
      assert.equal(readFileSync(made, 'utf8'), 'made by a tool\n')
      assert.match(output, /All is done\./)
      assert.deepEqual(server.errors, [])
      assert.equal(server.scripted.length, 2)
      assert.equal(server.scripted[1]?.toolResults.length, 1)
    })
  }
})
