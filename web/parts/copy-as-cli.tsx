import { Check, SquareTerminal } from 'lucide-react'
import { useState } from 'react'
import { type Action, asCommand } from '../data/as-command.ts'
import { copyText } from './copy-button.tsx'
import { RowMenu } from './row-menu.tsx'

interface Props {
  /** Actions, each with the label of its button; those that the command line cannot do are left out. */
  actions: readonly (readonly [word: string, action: Action])[]
  /** The thing that the actions apply to, if a page has several: `Copy as CLI, report.xml`. */
  of?: string
  className?: string
}

const icon = { size: 14, strokeWidth: 1.75, 'aria-hidden': true } as const

/**
 * Copies the commands that do what the buttons beside it do: a single one at once, one of several after a choice.
 * Hidden on phones, which have no shell.
 */
export default function CopyAsCli({ actions, of, className = '' }: Props) {
  const [copied, setCopied] = useState<boolean>()
  const label = of === undefined ? 'Copy as CLI' : `Copy as CLI, ${of}`
  const copy = async (command: string) => {
    setCopied(await copyText(command))
    setTimeout(() => setCopied(undefined), 2000)
  }
  const commands = actions.flatMap(([word, action]) => {
    const command = asCommand(action)
    return command === undefined ? [] : [{ word, title: command, act: () => void copy(command) }]
  })
  const [only, ...more] = commands
  if (only === undefined) return null
  const Icon = copied ? Check : SquareTerminal
  return (
    <span className={`inline-flex shrink-0 items-center max-sm:hidden ${className}`}>
      {more.length > 0 ? (
        <RowMenu label={label} icon={<Icon {...icon} />} head="Copy as CLI" actions={commands} />
      ) : (
        <button
          type="button"
          className="inline-flex size-7 items-center justify-center rounded-md text-ink2 hover:bg-hover hover:text-ink"
          aria-label={label}
          title={`${label}: ${only.title}`}
          onClick={only.act}
        >
          <Icon {...icon} />
        </button>
      )}
      <span role="status" className={copied === false ? 'text-meta text-ink2' : 'sr-only'}>
        {copied === true && 'Copied'}
        {copied === false && 'Could not copy'}
      </span>
    </span>
  )
}
