import { Check, Copy } from 'lucide-react'
import { useState } from 'react'

/** Copies a text. Over plain HTTP from another machine there is no clipboard API, so an older way is used. */
export async function copyText(text: string): Promise<boolean> {
  try {
    if (navigator.clipboard !== undefined) {
      await navigator.clipboard.writeText(text)
      return true
    }
  } catch {
    // The older way may be allowed where this one is not.
  }
  const area = document.createElement('textarea')
  area.value = text
  area.readOnly = true
  area.className = 'fixed top-0 left-0 opacity-0'
  ;(document.querySelector('dialog[open]') ?? document.body).append(area)
  area.select()
  const done = document.execCommand('copy')
  area.remove()
  return done
}

export function CopyButton({ text, label, word }: { text: string; label: string; word?: string }) {
  const [copied, setCopied] = useState<boolean>()
  const copy = async () => {
    setCopied(await copyText(text))
    setTimeout(() => setCopied(undefined), 2000)
  }
  const Icon = copied ? Check : Copy
  return (
    <button
      type="button"
      className={
        word === undefined
          ? 'reach inline-flex size-6 shrink-0 items-center justify-center rounded text-ink3 hover:text-ink'
          : 'button'
      }
      aria-label={label}
      title={copied === false ? 'Could not copy: select the text' : label}
      onClick={copy}
    >
      <Icon size={14} strokeWidth={1.75} aria-hidden />
      {word !== undefined && (copied ? 'Copied' : word)}
    </button>
  )
}
