// What Swagger UI asks of react-dom, from Preact, which Uppy brings: a tenth of the size.

import { options } from "preact";
import * as compat from "preact/compat";
import { createRoot } from "preact/compat/client";

export * from "preact/compat";
export default { ...compat, createRoot };

const { vnode: before } = options;

// Preact draws children in arrays alone; React, and Swagger UI, in whatever can be iterated.
options.vnode = (node) => {
  if (node.props.children) node.props.children = inArrays(node.props.children);
  before?.(node);
};

function inArrays(children) {
  const isIterable = typeof children === "object" && children?.[Symbol.iterator];
  return isIterable ? Array.from(children, inArrays) : children;
}
