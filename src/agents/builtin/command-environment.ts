/** What a shell needs of the machine. */
const machine = ['PATH', 'HOME', 'USER', 'LANG', 'TZ', 'TMPDIR', 'SHELL'] as const

/** Keys of models' services, and of Errand itself: no command has a use for them. */
const keys =
  /^(OPENAI_API_KEY|OPENAI_ADMIN_KEY|ANTHROPIC_API_KEY|ANTHROPIC_AUTH_TOKEN|CLAUDE_CODE_OAUTH_TOKEN|CODEX_API_KEY|COPILOT_PROVIDER_API_KEY|COPILOT_GITHUB_TOKEN|ERRAND_TOKEN|ADOS_TOKEN)$/

/** The environment of the commands that the model runs. `step` is what the step sees. */
export function commandEnvironment(
  base: NodeJS.ProcessEnv,
  step: Readonly<Record<string, string>>,
): Record<string, string> {
  const own = Object.entries(step).filter(([name]) => !keys.test(name))
  const passed = machine.flatMap((name) => {
    const value = base[name]
    return value === undefined ? [] : [[name, value]]
  })
  // There is nobody to page through output or to type a password.
  return {
    PAGER: 'cat',
    GIT_PAGER: 'cat',
    GIT_TERMINAL_PROMPT: '0',
    ...Object.fromEntries([...passed, ...own]),
  }
}
