import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { agentRegistry } from '../../agents/registry.ts'
import { type AccessOptions, modelAccess, proxyFor } from './model-access.ts'
import { ModelRule } from './rules.ts'

const agentOf = (name: string) => agentRegistry.find((each) => each.name === name)!
const access = (name: string, env: Record<string, string>, options: Partial<AccessOptions> = {}) =>
  modelAccess(agentOf(name), env, { key: 'attempt', ...options })

describe("an agent's access to its models", () => {
  it('replaces the keys of all agents with sentinels, and leaves no key', () => {
    for (const { name, services = [] } of agentRegistry)
      for (const service of services)
        for (const { variable, begins } of service.keys) {
          const env = {
            [variable]: 'the-real-key-of-it',
            [service.url]: 'https://models.example/v1',
            ...(service.where === undefined
              ? {}
              : { [service.where.variable]: service.where.values.at(-1)! }),
          }
          const found = access(name, env)
          assert.doesNotMatch(JSON.stringify(found.env), /the-real-key/, `${name} ${variable}`)
          assert.deepEqual(found.inside, [], `${name} ${variable}`)
          const [rule = assert.fail()] = found.rules
          assert.deepEqual(ModelRule.parse(rule), rule)
          assert.equal(found.env[variable], rule.sentinel)
          assert.ok(rule.sentinel.startsWith(begins))
          assert.equal(rule.key, 'the-real-key-of-it')
          assert.ok(found.env[service.url]?.startsWith(`http://127.0.0.1:3128/model/${service.name}`))
          const version = service.shape === 'messages' ? '' : '/v1'
          assert.equal(rule.upstream, `https://models.example${version}`)
        }
  })

  it('reports every key of an agent without a service as passed inside', () => {
    for (const agent of agentRegistry) {
      const served = new Set(
        (agent.services ?? []).flatMap(({ keys }) => keys.map(({ variable }) => variable)),
      )
      for (const variable of agent.keys.filter((each) => !served.has(each)))
        assert.deepEqual(access(agent.name, { [variable]: 'a secret' }).inside, [variable])
    }
  })

  it('uses the key that Claude Code itself would use, and leaves the others out', () => {
    const env = {
      CLAUDE_CODE_OAUTH_TOKEN: 'sk-ant-oat01-x',
      ANTHROPIC_API_KEY: 'sk-ant-api03-x',
      OTHER: 'stays',
    }
    const both = access('claude_code', env)
    assert.deepEqual(Object.keys(both.env).sort(), ['ANTHROPIC_API_KEY', 'ANTHROPIC_BASE_URL', 'OTHER'])
    assert.equal(both.rules[0]?.header, 'x-api-key')
    assert.equal(both.rules[0]?.upstream, 'https://api.anthropic.com')
    const login = access('claude_code', { CLAUDE_CODE_OAUTH_TOKEN: 'sk-ant-oat01-x' })
    assert.equal(login.rules[0]?.header, 'bearer')
    assert.match(login.env.CLAUDE_CODE_OAUTH_TOKEN ?? '', /^sk-ant-oat01-errand-[0-9a-f]{40}$/)
  })

  it('uses the same sentinel each time, and another for another attempt or service', () => {
    const env = { ANTHROPIC_API_KEY: 'one', OPENAI_API_KEY: 'two', GROQ_API_KEY: 'three' }
    assert.deepEqual(access('opencode', env), access('opencode', env))
    const all = ['a', 'b'].flatMap((key) =>
      access('opencode', env, { key }).rules.map(({ sentinel }) => sentinel),
    )
    assert.equal(new Set(all).size, 6)
  })

  it('removes secret headers from the environment', () => {
    const env = { ANTHROPIC_API_KEY: 'x', ANTHROPIC_CUSTOM_HEADERS: 'X-Gate: secret\nbad line\n Team:ours ' }
    const { env: inside, rules } = access('claude_code', env)
    assert.equal(inside.ANTHROPIC_CUSTOM_HEADERS, undefined)
    assert.deepEqual(rules[0]?.headers, { 'X-Gate': 'secret', Team: 'ours' })
  })

  it('reports which secrets are passed inside when another service is used', () => {
    const bedrock = { CLAUDE_CODE_USE_BEDROCK: '1', AWS_SECRET_ACCESS_KEY: 'x', AWS_ACCESS_KEY_ID: 'y' }
    assert.deepEqual(access('claude_code', bedrock).inside, ['AWS_ACCESS_KEY_ID', 'AWS_SECRET_ACCESS_KEY'])
    assert.deepEqual(access('claude_code', bedrock).rules, [])
    const azure = {
      ...{ COPILOT_PROVIDER_TYPE: 'azure', COPILOT_PROVIDER_API_KEY: 'x' },
      COPILOT_PROVIDER_BASE_URL: 'https://x.openai.azure.com',
    }
    assert.deepEqual(access('copilot', azure).inside, ['COPILOT_PROVIDER_API_KEY'])
    assert.equal(access('copilot', azure).env.COPILOT_PROVIDER_BASE_URL, azure.COPILOT_PROVIDER_BASE_URL)
    const provider = { groq: { options: { baseURL: 'https://gate.example', apiKey: 'gsk-x' } } }
    const env = { OPENCODE_CONFIG_CONTENT: JSON.stringify({ provider }), GROQ_API_KEY: 'x', XAI_API_KEY: 'y' }
    const granted = access('opencode', env)
    assert.deepEqual(granted.inside, ['GROQ_API_KEY', 'OPENCODE_CONFIG_CONTENT'])
    assert.deepEqual(
      granted.rules.map(({ name }) => name),
      ['xai'],
    )
  })

  it("leaves the machine's GitHub token out if Copilot has a provider, unless the step itself sets one", () => {
    const env = {
      COPILOT_PROVIDER_BASE_URL: 'http://localhost:11434/v1',
      GITHUB_TOKEN: 'ghp_x',
      GH_TOKEN: 'ghp_y',
    }
    const { env: inside, inside: variables, rules } = access('copilot', env, { step: { GH_TOKEN: 'ghp_y' } })
    assert.equal(inside.GITHUB_TOKEN, undefined)
    assert.equal(inside.GH_TOKEN, 'ghp_y')
    assert.deepEqual(variables, ['GH_TOKEN'])
    assert.equal(rules[0]?.upstream, 'http://localhost:11434/v1')
    assert.deepEqual(access('copilot', { GITHUB_TOKEN: 'x' }, { step: {} }).inside, ['GITHUB_TOKEN'])
  })

  it('lets an agent that only a command defines name the variables of its keys', () => {
    const env = { MY_KEY: 'x', SECOND: 'y', ANTHROPIC_BASE_URL: 'https://gate.example/v1/' }
    const { env: inside, rules } = access('acp', env, { proxyEnv: { MY_KEY: 'anthropic', SECOND: 'openai' } })
    assert.deepEqual(
      rules.map(({ name, upstream, header }) => [name, upstream, header]),
      [
        ['anthropic', 'https://gate.example', 'x-api-key'],
        ['openai', 'https://api.openai.com/v1', 'bearer'],
      ],
    )
    assert.equal(inside.MY_KEY, rules[0]?.sentinel)
    assert.equal(inside.OPENAI_BASE_URL, 'http://127.0.0.1:3128/model/openai/v1')
    assert.deepEqual(access('acp', env).rules, [])
  })

  it('needs no key for a self-hosted service', () => {
    const { env, rules } = access('builtin', { OPENAI_BASE_URL: 'http://localhost:8000/v1' })
    assert.equal(rules[0]?.key, 'none')
    assert.equal(env.OPENAI_API_KEY, rules[0]?.sentinel)
    assert.deepEqual(access('builtin', {}).rules, [])
    assert.deepEqual(access('claude_code', { ANTHROPIC_BASE_URL: 'http://x.example' }).rules, [])
  })

  it('sends no key of the machine to an address from a step, and checks such an address', () => {
    const machine = { ANTHROPIC_API_KEY: 'the machine’s', ANTHROPIC_AUTH_TOKEN: '' }
    const mine = { ANTHROPIC_BASE_URL: 'http://169.254.169.254/v1' }
    assert.throws(() => access('claude_code', { ...machine, ...mine }, { machine, step: mine }), {
      code: 'invalid_argument',
      message:
        "The step sets ANTHROPIC_BASE_URL, and the machine's own ANTHROPIC_API_KEY is not sent to that address.",
    })
    const withKey = { ...mine, CLAUDE_CODE_OAUTH_TOKEN: 'the step’s' }
    const [rule] = access('claude_code', { ...machine, ...withKey }, { machine, step: withKey }).rules
    assert.deepEqual([rule?.key, rule?.checked, rule?.proxy], ['the step’s', true, undefined])
    const headers = { ANTHROPIC_CUSTOM_HEADERS: 'X-Gateway-Key: the machine’s' }
    const ofMachine = { ...machine, ...headers }
    const [bare] = access(
      'claude_code',
      { ...ofMachine, ...withKey },
      { machine: ofMachine, step: withKey },
    ).rules
    assert.deepEqual(bare?.headers, {})
    const withHeaders = { ...withKey, ANTHROPIC_CUSTOM_HEADERS: 'X-Own: 1' }
    const [dressed] = access(
      'claude_code',
      { ...machine, ...withHeaders },
      { machine, step: withHeaders },
    ).rules
    assert.deepEqual(dressed?.headers, { 'X-Own': '1' })
    // The address that the machine uses anyway does not count as the step's.
    const same = { ANTHROPIC_BASE_URL: 'https://api.anthropic.com/' }
    const [usual] = access('claude_code', { ...machine, ...same }, { machine, step: same }).rules
    assert.deepEqual([usual?.key, usual?.checked], ['the machine’s', undefined])
    const gateway = { ...machine, ANTHROPIC_BASE_URL: 'http://10.0.0.7:4000' }
    const [own] = access('claude_code', gateway, { machine: gateway, step: {} }).rules
    assert.deepEqual([own?.upstream, own?.checked], ['http://10.0.0.7:4000', undefined])
    const local = { OPENAI_BASE_URL: 'http://localhost:8000/v1' }
    const key = { OPENAI_API_KEY: 'the machine’s' }
    assert.throws(
      () => access('builtin', { ...key, ...local }, { machine: key, step: local }),
      /not sent to that address/,
    )
    assert.equal(access('builtin', local, { step: local }).rules[0]?.checked, true)
    // On one's own machine, what the owner sets is the machine's.
    assert.equal(access('builtin', { ...key, ...local }, { machine: key }).rules[0]?.key, 'the machine’s')
  })

  it('lets whoever provides the key choose the account, and nobody in the box', () => {
    const machine = { OPENAI_API_KEY: 'the machine’s', OPENAI_ORG_ID: 'org-m', OPENAI_PROJECT_ID: 'proj-m' }
    const ofMachine = { 'openai-organization': 'org-m', 'openai-project': 'proj-m' }
    const others = { OPENAI_ORG_ID: 'org-s' }
    for (const name of ['builtin', 'codex', 'opencode']) {
      const env = { OPENAI_API_KEY: machine.OPENAI_API_KEY, ...others }
      const found = access(name, env, { machine, step: others })
      assert.deepEqual(found.rules[0]?.headers, ofMachine, name)
      assert.equal(found.env.OPENAI_ORG_ID, undefined)
      const own = { OPENAI_API_KEY: 'the step’s', ...others }
      const [rule] = access(name, own, { machine, step: own }).rules
      assert.deepEqual(rule?.headers, { 'openai-organization': 'org-s' }, name)
    }
    // On one's own machine, what the owner sets for a step is the machine's.
    const [usual] = access('builtin', { OPENAI_API_KEY: 'x', ...others }, { machine }).rules
    assert.deepEqual(usual?.headers, { ...ofMachine, 'openai-organization': 'org-s' })
    const gateway = { ANTHROPIC_API_KEY: 'the machine’s', ANTHROPIC_CUSTOM_HEADERS: 'X-Team: ours' }
    const step = { ANTHROPIC_CUSTOM_HEADERS: 'X-Team: mine\nanthropic-organization-id: o\nAnthropic-Beta: b' }
    const [rule] = access('claude_code', { ...gateway, ...step }, { machine: gateway, step }).rules
    assert.deepEqual(rule?.headers, { 'Anthropic-Beta': 'b', 'X-Team': 'ours' })
  })

  it('refuses an invalid address', () => {
    for (const url of [
      'gate.example',
      'ftp://x',
      'https://me:secret@gate.example',
      'https://gate.example/?v=1',
    ])
      assert.throws(() => access('codex', { OPENAI_API_KEY: 'x', OPENAI_BASE_URL: url }), {
        code: 'invalid_argument',
        message: /^OPENAI_BASE_URL (is|contains) (?!.*secret)/,
      })
  })

  const proxied: [url: string, env: Record<string, string>, proxy: string | undefined][] = [
    ['https://api.openai.com/v1', { HTTPS_PROXY: 'http://p:3128' }, 'http://p:3128'],
    ['https://api.openai.com/v1', { https_proxy: 'p:3128', HTTPS_PROXY: 'http://q' }, 'http://p:3128'],
    ['https://api.openai.com/v1', { HTTP_PROXY: 'http://p' }, undefined],
    ['http://models.lan/v1', { HTTP_PROXY: 'http://p' }, 'http://p'],
    ['https://api.openai.com/v1', { ALL_PROXY: 'socks5://p' }, undefined],
    ['https://api.openai.com/v1', { HTTPS_PROXY: 'http://p', NO_PROXY: 'x, .openai.com' }, undefined],
    ['https://api.openai.com/v1', { HTTPS_PROXY: 'http://p', NO_PROXY: 'api.openai.com:8443' }, 'http://p'],
    ['https://api.openai.com/v1', { HTTPS_PROXY: 'http://p', no_proxy: '*' }, undefined],
    ['https://myopenai.com/v1', { HTTPS_PROXY: 'http://p', NO_PROXY: 'openai.com' }, 'http://p'],
  ]
  it("uses the machine's own proxy", () => {
    for (const [url, env, proxy] of proxied)
      assert.equal(proxyFor(url, env), proxy, JSON.stringify([url, env]))
    const { rules } = access('codex', { OPENAI_API_KEY: 'x' }, { machine: { HTTPS_PROXY: 'http://p:3128' } })
    assert.equal(rules[0]?.proxy, 'http://p:3128')
  })
})
