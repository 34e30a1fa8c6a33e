import { useState } from 'react'

interface Props {
  input: Readonly<Record<string, unknown>>
  busy: boolean
  allow: (input: Record<string, unknown>) => void
  close: () => void
}

/**
 * Lets a person edit the arguments that an agent asks for before allowing them: texts as they are, all else as JSON.
 */
export function EditedInput({ input, busy, allow, close }: Props) {
  const [texts, setTexts] = useState(() =>
    Object.entries(input).map(([name, value]) => ({
      name,
      isText: typeof value === 'string',
      text: typeof value === 'string' ? value : JSON.stringify(value, undefined, 1),
    })),
  )
  const wrong = texts.find(({ isText, text }) => !isText && parsed(text) === undefined)
  return (
    <form
      aria-label="Edit the request"
      className="flex flex-col gap-2"
      onSubmit={(event) => {
        event.preventDefault()
        if (busy || wrong !== undefined) return
        allow(Object.fromEntries(texts.map(({ name, isText, text }) => [name, isText ? text : parsed(text)])))
      }}
    >
      {texts.map(({ name, text }, at) => (
        <label key={name} className="flex flex-col gap-1 text-meta text-ink2">
          <bdi>{name}</bdi>
          <textarea
            // biome-ignore lint/a11y/noAutofocus: it was opened to be written in
            autoFocus={at === 0}
            rows={1}
            spellCheck={false}
            autoCapitalize="none"
            value={text}
            className="field field-sizing-content h-auto max-h-[30dvh] resize-y py-1.5 font-mono text-ink max-sm:text-base"
            onChange={({ target }) =>
              setTexts((all) =>
                all.map((one, index) => (index === at ? { ...one, text: target.value } : one)),
              )
            }
            onKeyDown={({ key }) => key === 'Escape' && close()}
          />
        </label>
      ))}
      <span className="flex items-center gap-2">
        {wrong !== undefined && <span className="text-meta text-bad">“{wrong.name}” is not valid JSON.</span>}
        <button
          type="submit"
          className="button button-main ml-auto"
          aria-disabled={busy || wrong !== undefined}
        >
          {busy ? 'Allowing…' : 'Allow as edited'}
        </button>
        <button type="button" className="button button-plain" onClick={close}>
          Close
        </button>
      </span>
    </form>
  )
}

function parsed(text: string): unknown {
  try {
    return JSON.parse(text)
  } catch {
    return undefined
  }
}
