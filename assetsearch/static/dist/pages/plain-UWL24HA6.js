for(let e of["dragover","drop"])document.addEventListener(e,t=>{t.target.closest?.("input")||t.preventDefault()});
