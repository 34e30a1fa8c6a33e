import { type Action, asCommand } from '../data/as-command.ts'
import { CopyButton } from './copy-button.tsx'

/** Shows the command that does what a button does, for copying. Shows nothing if there is none. */
export default function CliLine({ action }: { action: Action }) {
  const command = asCommand(action)
  return command === undefined ? null : <CommandLine command={command} />
}

export function CommandLine({ command }: { command: string }) {
  return (
    <div className="mt-3 flex items-center gap-2 rounded-lg bg-sunken py-1 pr-1 pl-3">
      <code className="max-h-24 min-w-0 flex-1 overflow-y-auto font-mono text-meta break-all whitespace-pre-wrap text-ink2">
        {command}
      </code>
      <CopyButton text={command} label="Copy as CLI" />
    </div>
  )
}
