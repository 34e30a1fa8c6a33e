/** How a program ended, and its last words, in one line of prose. */
export function endingText(name: string, exit: { code?: number; signal?: string; stderr: string }): string {
  const how =
    exit.signal !== undefined
      ? `was ended by ${exit.signal}`
      : `ended${exit.code === undefined ? '' : ` with exit code ${exit.code}`}`
  const words = exit.stderr.replace(/\u001b\[[0-9;]*m/g, '').trim()
  return `${name} ${how}${words === '' ? '' : `: ${words.slice(-2000)}`}`
}
