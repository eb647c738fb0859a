// Links to other pages, in the kit's look.
import { Anchor, Button, type AnchorProps, type ButtonProps } from '@mantine/core'
import { createLink } from '@tanstack/react-router'
import { forwardRef } from 'react'

const Plain = forwardRef<HTMLAnchorElement, Omit<AnchorProps, 'href'>>(function Plain(props, ref) {
  return <Anchor ref={ref} {...props} />
})
const Knob = forwardRef<HTMLAnchorElement, Omit<ButtonProps, 'href'>>(function Knob(props, ref) {
  return <Button ref={ref} component="a" {...props} />
})

export const To = createLink(Plain)
export const ButtonTo = createLink(Knob)
