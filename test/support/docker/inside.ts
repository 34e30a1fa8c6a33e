import assert from 'node:assert/strict'
import { spawn } from 'node:child_process'
import type { ContainerApi } from './docker-api.ts'

/** Runs the command in the container and returns what it prints. Fails if the command fails. */
export async function inside({ id }: ContainerApi, command: readonly string[], input = ''): Promise<string> {
  const child = spawn('docker', ['exec', '-i', id, ...command])
  let printed = ''
  let errors = ''
  child.stdout.setEncoding('utf8').on('data', (text) => (printed += text))
  child.stderr.setEncoding('utf8').on('data', (text) => (errors += text))
  child.stdin.on('error', () => {})
  child.stdin.end(input)
  const code = await new Promise((resolve) => child.once('close', resolve))
  assert.equal(code, 0, `${command.join(' ')}: ${printed}${errors}`)
  return printed
}
