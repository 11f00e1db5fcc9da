/** Nodes as diamonds and squares: the renderer's own points, cut another way. */

import { NodePointProgram } from 'sigma/rendering'

/** `reach`: how far a pixel lies within the shape, in parts of the point's width; GLSL over `m`. */
const fragment = (reach: string) => /* glsl */ `
precision mediump float;

varying vec4 v_color;
varying float v_border;

void main(void) {
  vec2 m = abs(gl_PointCoord - vec2(0.5, 0.5));
  float dist = ${reach};

  #ifdef PICKING_MODE
  gl_FragColor = dist > v_border ? v_color : vec4(0.0);
  #else
  gl_FragColor = v_color * clamp(dist / v_border, 0.0, 1.0);
  #endif
}
`

export class DiamondProgram extends NodePointProgram {
  override getDefinition() {
    return { ...super.getDefinition(), FRAGMENT_SHADER_SOURCE: fragment('0.5 - (m.x + m.y)') }
  }
}

export class SquareProgram extends NodePointProgram {
  override getDefinition() {
    // With round corners: beyond the inner square the distance counts.
    return { ...super.getDefinition(), FRAGMENT_SHADER_SOURCE: fragment('0.44 - length(max(m - 0.26, 0.0)) - 0.26') }
  }
}
