// Zoomed into, a picture needs more pixels than its preview has: the original, or the largest size that there is of it,
// comes over the preview once it is there as a whole. Where it cannot be had, the preview stays.

export function addSharper(lightbox) {
  const pictures = new WeakMap(); // by slide

  lightbox.on("zoomPanUpdate", ({ slide }) => {
    if (slide.data.sharper && !pictures.has(slide) && isBeyondPreview(slide)) sharpen(slide);
  });
  lightbox.on("contentResize", ({ content, width, height }) => resize(pictures.get(content.slide), width, height));
  lightbox.on("slideDeactivate", ({ slide }) => giveUp(slide));
  lightbox.on("destroy", () => giveUp(lightbox.currSlide));

  async function sharpen(slide) {
    const picture = new Image();
    pictures.set(slide, picture);
    picture.className = "pswp__img sharper";
    picture.alt = ""; // the preview has told
    picture.src = slide.data.sharper;
    try {
      await picture.decode();
    } catch {
      return;
    }
    const { displayedImageWidth, displayedImageHeight } = slide.content;
    resize(picture, displayedImageWidth, displayedImageHeight);
    slide.container.append(picture);
  }

  /** What has not come yet is not waited for. */
  function giveUp(slide) {
    const picture = pictures.get(slide);
    if (!picture || picture.isConnected) return;
    picture.src = "";
    pictures.delete(slide);
  }
}

function isBeyondPreview({ currZoomLevel, zoomLevels, width, content }) {
  const wantedPx = currZoomLevel * width * devicePixelRatio;
  return currZoomLevel > zoomLevels.initial && wantedPx > content.element?.naturalWidth;
}

function resize(picture, width, height) {
  if (picture) Object.assign(picture.style, { width: `${width}px`, height: `${height}px` });
}
